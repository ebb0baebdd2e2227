"""The claims with which the log-in with OpenID Connect accepts or rejects a user."""

from __future__ import annotations

from typing import Any

import pytest

from waybill.settings import PROJECT_ROOT

CONFIG = PROJECT_ROOT / "containers" / "webserver_config.py"
ADDRESS = {"email": "ann@example.com", "groups": ["engineers"]}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in {
        "WAYBILL_OIDC_ISSUER": "https://login.example.com",
        "WAYBILL_OIDC_CLIENT_ID": "waybill",
        "WAYBILL_OIDC_CLIENT_SECRET": "secret",
        "WAYBILL_OIDC_ROLES": "{}",
    }.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def user_of(claims: dict[str, Any]) -> dict[str, Any]:
    """Return what the security manager of the configuration takes from the claims of a token."""
    names: dict[str, Any] = {"__name__": "webserver_config"}
    exec(compile(CONFIG.read_text(), CONFIG, "exec"), names)
    manager = names["OpenIdSecurityManager"]
    user: dict[str, Any] = manager.get_oauth_user_info(object.__new__(manager), "oidc", {"userinfo": claims})
    return user


@pytest.mark.parametrize("verified", [True, "true"])
def test_a_verified_address_names_the_user(environment: pytest.MonkeyPatch, verified: object) -> None:
    user = user_of(ADDRESS | {"email_verified": verified})
    assert (user["username"], user["role_keys"]) == ("ann@example.com", ["engineers"])


def test_an_issuer_that_omits_the_claim_must_be_trusted_explicitly(environment: pytest.MonkeyPatch) -> None:
    for value in ("", "false", "1"):
        environment.setenv("WAYBILL_OIDC_TRUST_EMAIL", value)
        with pytest.raises(ValueError, match="set WAYBILL_OIDC_TRUST_EMAIL=true"):
            user_of(ADDRESS)
    environment.setenv("WAYBILL_OIDC_TRUST_EMAIL", "true")
    assert user_of(ADDRESS)["username"] == "ann@example.com"


@pytest.mark.parametrize("verified", [False, None, "false", "", 0, "yes"])
@pytest.mark.parametrize("trusts", ["false", "true"])
def test_a_claim_that_is_sent_counts(environment: pytest.MonkeyPatch, trusts: str, verified: object) -> None:
    environment.setenv("WAYBILL_OIDC_TRUST_EMAIL", trusts)
    with pytest.raises(ValueError, match="no verified claim email"):
        user_of(ADDRESS | {"email_verified": verified})


def test_another_claim_needs_no_verified_address(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("WAYBILL_OIDC_NAME_CLAIM", "preferred_username")
    assert user_of({"preferred_username": "ann", "email_verified": False})["username"] == "ann"
    with pytest.raises(ValueError, match="no verified claim preferred_username"):
        user_of(ADDRESS)
