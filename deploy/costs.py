"""Print what each environment costs a month, from its settings: `python deploy/costs.py`.

docs/reference/costs.md has the table, and a test compares both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import tfvars

ROOT: Final = Path(__file__).resolve().parent.parent
ENVIRONMENTS: Final = ("dev", "staging", "prod")
HOURS: Final = 730  # a month
ZONES: Final = 2

# US dollars in us-east-1, an hour if nothing else is said. Written in November 2026 from memory of AWS's public price
# lists. Those of Fargate, of db.t4g and of storage agree with articles of 2026; the others were not checked.
FARGATE: Final = {"ARM64": (0.03238, 0.00356), "X86_64": (0.04048, 0.004445)}  # a vCPU, a GiB
SPOT: Final = 0.3  # of the price of Fargate; AWS says up to 70 % less
DATABASE: Final = {
    "db.t4g.micro": 0.016,
    "db.t4g.small": 0.032,
    "db.t4g.medium": 0.065,
    "db.t4g.large": 0.129,
    "db.m7g.large": 0.168,
    "db.m7g.xlarge": 0.337,
}
DATABASE_GIB: Final = 0.115  # a month, gp3
CACHE: Final = {"cache.t4g.micro": 0.0128, "cache.t4g.small": 0.0256, "cache.t4g.medium": 0.052}  # Valkey
LOAD_BALANCER: Final = 0.0225
ADDRESS: Final = 0.005  # a public IPv4 address
NAT: Final = 0.045
NAT_GB: Final = 0.045
ENDPOINT: Final = 0.01  # in each zone
ENDPOINT_GB: Final = 0.01
ALARM, DASHBOARD, METRIC, LOG_GB = 0.10, 3.0, 0.30, 0.50  # a month
FIREWALL, RULE, KEY, SECRET = 5.0, 1.0, 1.0, 0.40  # a month

# What there is beside the settings.
ALARMS: Final = 60
DASHBOARDS: Final = 1  # beyond the three that are free of charge
METRICS: Final = 20  # sent all the time: those of Airflow, and a share of those of the application
LOGS_GB: Final = {"dev": 5, "staging": 10, "prod": 20}  # assumed
RULES, KEYS, SECRETS = 3, 3, 9
WEEK: Final = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")

Settings = dict[str, Any]


def settings(environment: str) -> Settings:
    """Return the sizes of an environment."""
    return tfvars.load(ROOT / "terraform" / "environments" / environment / "settings.auto.tfvars")


def fargate(values: Settings) -> float:
    """Return the cost of all tasks of services, without workers that autoscaling adds."""
    airflow = values["airflow"]
    vcpu, gib = FARGATE[airflow.get("architecture", "ARM64")]
    hourly = sum(
        one["tasks"] * (one["cpu"] * vcpu + one["memory"] * gib) / 1024 for one in airflow["services"].values()
    )
    return float(HOURS * hourly * (SPOT if airflow["spot"] else 1))


def instance(database: Settings) -> float:
    """Return the cost of a database's instance, and of its standby."""
    return HOURS * DATABASE[database["instance_class"]] * (2 if database["multi_az"] else 1)


def storage(database: Settings) -> float:
    """Return the cost of a database's storage, at its size before it grows."""
    return float(DATABASE_GIB * database["allocated_gib"] * (2 if database["multi_az"] else 1))


def cloudwatch(values: Settings) -> float:
    """Return the cost of alarms, dashboards, metrics and logs."""
    services = len(values["airflow"]["services"])
    insights = 0 if values["airflow"]["container_insights"] == "disabled" else 9 + 20 * services  # metrics
    return (
        ALARM * ALARMS
        + DASHBOARD * DASHBOARDS
        + METRIC * (METRICS + insights)
        + LOG_GB * LOGS_GB[values["environment"]]
    )


def parts(values: Settings) -> dict[str, float]:
    """Return the fixed costs of a month in US dollars."""
    broker, network = values["broker"], values["network"]
    addresses = 0 if values["airflow"]["internal"] else ZONES
    return {
        "Airflow on Fargate": fargate(values),
        "Load balancer": HOURS * (LOAD_BALANCER + ADDRESS * addresses),
        "Broker": HOURS * CACHE[broker["node_type"]] * broker["nodes"] if broker else 0.0,
        "Warehouse": instance(values["warehouse"]) + storage(values["warehouse"]),
        "Metadata database": instance(values["metadata"]) + storage(values["metadata"]),
        "NAT gateways": HOURS * (NAT + ADDRESS) * network["nat_gateways"],
        "Interface endpoints": HOURS * ENDPOINT * ZONES * len(network["interface_endpoints"]),
        "CloudWatch": cloudwatch(values),
        "Firewall, keys, secrets": FIREWALL + RULE * RULES + KEY * KEYS + SECRET * SECRETS,
    }


def running(night: Settings) -> float:
    """Return the share of a week in which an environment with night mode runs."""
    days = 0
    for part in night["start"].get("days", "MON-FRI").split(","):
        first, _, last = part.partition("-")
        days += WEEK.index(last or first) - WEEK.index(first) + 1
    start, stop = (night[what]["hour"] + night[what].get("minute", 0) / 60 for what in ("start", "stop"))
    return float(days * (stop - start) / (24 * 7))


def saved(values: Settings) -> float:
    """Return what night mode saves: hours of Fargate and of database instances."""
    if not (night := values.get("night")):
        return 0.0
    return (1 - running(night)) * (fargate(values) + instance(values["warehouse"]) + instance(values["metadata"]))


def break_even() -> float:
    """Return the GB a month of one service from which an interface endpoint is cheaper than the NAT gateway."""
    return HOURS * ENDPOINT * ZONES / (NAT_GB - ENDPOINT_GB)


def table() -> str:
    """Return the table of fixed costs by environment."""
    values = {name: settings(name) for name in ENVIRONMENTS}
    costs = {name: parts(one) for name, one in values.items()}
    rows = [(part, *(costs[name][part] for name in ENVIRONMENTS)) for part in costs["dev"]]
    totals = {name: sum(costs[name].values()) for name in ENVIRONMENTS}
    lines = ["| A month, in US dollars | dev | staging | prod |", "|---|---|---|---|"]
    lines += ["| " + " | ".join([part, *(f"{cost:,.0f}" for cost in row)]) + " |" for part, *row in rows]
    for label, figures in {
        "**At rest**": totals,
        "**At rest, with night mode**": {name: totals[name] - saved(values[name]) for name in ENVIRONMENTS},
        "Budget, which alerts at 80 % spent": {name: values[name]["budget_usd"] for name in ENVIRONMENTS},
    }.items():
        stars = "**" if label.startswith("**") else ""
        cells = [f"{stars}{figures[name]:,.0f}{stars}" for name in ENVIRONMENTS]
        lines.append("| " + " | ".join([label, *cells]) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
    print(f"\nAn interface endpoint pays for itself from {break_even():.0f} GB a month.")
