"""Log in with OpenID Connect. Airflow's FAB auth manager reads this file (`AIRFLOW__FAB__CONFIG_FILE`).

WAYBILL_OIDC_ISSUER         issuer, such as https://login.example.com/realms/main
WAYBILL_OIDC_CLIENT_ID      client that the issuer knows
WAYBILL_OIDC_CLIENT_SECRET  its secret
WAYBILL_OIDC_ROLES          JSON object: a group of the issuer, and the role of its members: admin, operator or viewer
WAYBILL_OIDC_GROUPS_CLAIM   claim of the ID token that lists a user's groups (default: groups)
WAYBILL_OIDC_NAME_CLAIM     claim that names a user in Airflow (default: email)
WAYBILL_OIDC_TRUST_EMAIL    true if the issuer verifies all addresses and never sends email_verified (default: false)

A user without a listed group may log in and sees nothing. Roles are read anew at each log-in.
"""

from __future__ import annotations

import json
import logging
import os
from typing import Any

from airflow.providers.fab.auth_manager.security_manager.override import FabAirflowSecurityManagerOverride
from flask_appbuilder.const import AUTH_OAUTH

ROLES = {"admin": "Admin", "operator": "Op", "viewer": "Viewer"}
GROUPS_CLAIM = os.environ.get("WAYBILL_OIDC_GROUPS_CLAIM", "groups")
TRUST_EMAIL = os.environ.get("WAYBILL_OIDC_TRUST_EMAIL") == "true"
NAME_CLAIM = os.environ.get("WAYBILL_OIDC_NAME_CLAIM", "email")


class OpenIdSecurityManager(FabAirflowSecurityManagerOverride):
    """Airflow's security manager with the users of an OpenID Connect issuer."""

    def get_oauth_user_info(self, provider: str, resp: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """Return a user's name and groups from the verified claims of the ID token.

        Raises:
            ValueError: the token does not name the user, or names an address that the issuer has not verified.
        """
        claims = resp["userinfo"]
        name = claims.get(NAME_CLAIM)
        if not name or (NAME_CLAIM == "email" and claims.get("email_verified", TRUST_EMAIL) not in (True, "true")):
            problem = f"The ID token has no verified claim {NAME_CLAIM}: nobody was logged in."
            if name and "email_verified" not in claims:
                problem += (
                    " It has no claim email_verified. If the issuer verifies all addresses and never sends this claim, "
                    "set WAYBILL_OIDC_TRUST_EMAIL=true."
                )
            logging.getLogger(__name__).error(problem)
            raise ValueError(problem)
        groups = claims.get(GROUPS_CLAIM) or []
        return {
            "username": name,
            "email": claims.get("email") or "",
            "first_name": claims.get("given_name") or "",
            "last_name": claims.get("family_name") or "",
            "role_keys": [groups] if isinstance(groups, str) else groups,
        }


AUTH_TYPE = AUTH_OAUTH
AUTH_USER_REGISTRATION = True
AUTH_USER_REGISTRATION_ROLE = "Public"  # no permissions
AUTH_ROLES_SYNC_AT_LOGIN = True
AUTH_ROLES_MAPPING = {group: [ROLES[role]] for group, role in json.loads(os.environ["WAYBILL_OIDC_ROLES"]).items()}
OAUTH_PROVIDERS = [
    {
        "name": "oidc",
        "icon": "fa-key",
        "token_key": "access_token",
        "remote_app": {
            "client_id": os.environ["WAYBILL_OIDC_CLIENT_ID"],
            "client_secret": os.environ["WAYBILL_OIDC_CLIENT_SECRET"],
            "server_metadata_url": os.environ["WAYBILL_OIDC_ISSUER"].rstrip("/") + "/.well-known/openid-configuration",
            "client_kwargs": {"scope": "openid email profile", "code_challenge_method": "S256"},
        },
    }
]
SECURITY_MANAGER_CLASS = OpenIdSecurityManager
