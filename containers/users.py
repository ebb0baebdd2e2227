"""Write the passwords of Airflow's users from `ADMIN_PASSWORD`, `OPERATOR_PASSWORD` and `VIEWER_PASSWORD`."""

import json
import os

passwords = {user: os.environ[f"{user.upper()}_PASSWORD"] for user in ("admin", "operator", "viewer")}
path = os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"]
with open(os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
    json.dump(passwords, file)
os.rename(f"{path}.new", path)
