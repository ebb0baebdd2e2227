"""Exit code 0 if the address answers and, where components of Airflow are named, each of them says it is healthy.

    python -S healthy.py http://api-server:8080/api/v2/monitor/health scheduler

Only the standard library, for it runs every few seconds.
"""

import json
import sys
import urllib.request

address, *components = sys.argv[1:]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
with opener.open(address, timeout=5) as answer:
    body = answer.read()
if components:
    health = json.loads(body)
    unwell = {name: health[name]["status"] for name in components if health[name]["status"] != "healthy"}
    if unwell:
        sys.exit(str(unwell))
