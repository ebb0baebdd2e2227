"""Exit with 0 if an address answers and, if components of Airflow are given, each of them is healthy.

    python -S healthy.py http://api-server:8080/api/v2/monitor/health scheduler

Uses only the standard library, because it runs every few seconds.
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
    unhealthy = {name: health[name]["status"] for name in components if health[name]["status"] != "healthy"}
    if unhealthy:
        sys.exit(str(unhealthy))
