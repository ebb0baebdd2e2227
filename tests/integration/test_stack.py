from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import psutil
import psycopg
import pytest
from botocore.exceptions import ClientError

from support.listeners import listeners
from support.waiting import PATIENCE, eventually
from waybill_devtools.stack import SERVICES, Stack, StackError, aws, postgres
from waybill_devtools.stack.state import State


@pytest.fixture
def own(short_home: Path) -> Iterator[Stack]:
    """A stack that a test may break, in a private folder whose long path contains a blank."""
    deep = short_home / "with a blank" / ("x" * 100)
    deep.mkdir(parents=True)
    short_home.chmod(0o700)
    stack = Stack(deep / "100% home")
    try:
        stack.up(with_airflow=False)
        yield stack
    finally:
        stack.down()


def pid(stack: Stack, name: str) -> int:
    [found] = [service.pid for service in stack.status() if service.name == name]
    assert found is not None
    return found


def pids(stack: Stack) -> set[int]:
    return {service.pid for service in stack.status() if service.pid is not None}


def processes(stack: Stack) -> set[psutil.Process]:
    supervisor = psutil.Process(int((stack.home / "supervisord.pid").read_text()))
    return {supervisor, *supervisor.children(recursive=True)}


def gone(some: set[psutil.Process]) -> bool:
    return not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in some)


def query(stack: Stack, statement: str, role: str = "waybill_etl") -> object:
    with psycopg.connect(stack.database_url(role)) as connection:
        row = connection.execute(statement).fetchone()
    assert row is not None
    return row[0]


def test_the_warehouse_belongs_to_a_role_that_is_no_superuser(stack: Stack) -> None:
    assert query(stack, "select rolsuper from pg_roles where rolname = current_user") is False
    assert query(stack, "select has_database_privilege('warehouse', 'create')") is True
    assert query(stack, "select has_database_privilege('warehouse', 'create')", "waybill_reader") is False
    assert query(stack, "select extname from pg_extension where extname = 'btree_gist'") == "btree_gist"
    assert query(stack, "select version()", "postgres").startswith("PostgreSQL 18")  # type: ignore[attr-defined]


def test_a_wrong_password_is_rejected(stack: Stack) -> None:
    address = stack.database_url().replace(stack.state.secrets["warehouse"], "wrong")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(address)


def test_buckets_exist_encrypt_and_keep_versions(stack: Stack) -> None:
    client = stack.s3()
    buckets = {"waybill-raw", "waybill-lake", "waybill-reports"}
    assert buckets <= {one["Name"] for one in client.list_buckets()["Buckets"]}
    for bucket in buckets:
        assert client.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    first = client.put_object(Bucket="waybill-raw", Key="a/b.csv", Body=b"1")["VersionId"]
    client.put_object(Bucket="waybill-raw", Key="a/b.csv", Body=b"2")
    answer = client.get_object(Bucket="waybill-raw", Key="a/b.csv", VersionId=first)
    assert (answer["Body"].read(), answer["ServerSideEncryption"]) == (b"1", "AES256")
    listed = client.list_object_versions(Bucket="waybill-raw", Prefix="a/b.csv")["Versions"]
    assert [item["IsLatest"] for item in listed] == [True, False]
    assert listed[1]["VersionId"] == first
    client.delete_object(Bucket="waybill-raw", Key="a/b.csv")


def test_a_partly_created_bucket_gets_its_missing_properties(stack: Stack) -> None:
    stack.s3().create_bucket(Bucket="half-made")
    assert aws.s3_ready(stack.state, "half-made")
    assert stack.s3().get_bucket_versioning(Bucket="half-made")["Status"] == "Enabled"
    assert stack.s3().put_object(Bucket="half-made", Key="a", Body=b"1")["ServerSideEncryption"] == "AES256"


def test_clients_retry(stack: Stack, stack_environment: dict[str, str]) -> None:
    for client in (stack.s3(), boto3.Session().client("s3")):
        retries = client.meta.config.retries  # type: ignore[attr-defined]
        assert (retries["mode"], retries["total_max_attempts"]) == ("standard", 5)


def test_a_stack_keeps_its_key_of_pseudonyms(stack: Stack) -> None:
    """Another key would give other pseudonyms, which would not join with those in the lake."""
    assert stack.env()["WAYBILL_MASK_KEY"] == stack.state.secrets["mask_key"]
    assert Stack(stack.home).env()["WAYBILL_MASK_KEY"] == stack.env()["WAYBILL_MASK_KEY"]
    assert len(stack.env()["WAYBILL_MASK_KEY"]) >= 32


def test_a_wrong_key_is_rejected(stack_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    client = boto3.Session().client("s3")
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        client.list_buckets()


def test_an_alert_reaches_the_queue(stack_environment: dict[str, str]) -> None:
    sns, sqs = boto3.client("sns"), boto3.client("sqs")
    topics = [
        topic["TopicArn"] for topic in sns.list_topics()["Topics"] if topic["TopicArn"].endswith(":waybill-alerts")
    ]
    assert len(topics) == 1
    assert topics[0] in stack_environment["AIRFLOW_CONN_WAYBILL_ALERTS_SNS"]
    sns.publish(TopicArn=topics[0], Message="hello")
    queue = sqs.get_queue_url(QueueName="waybill-alerts")["QueueUrl"]
    bodies = list[str]()
    while messages := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
        bodies += [message["Body"] for message in messages]  # of other tests, too
    assert any("hello" in body for body in bodies)


def test_every_listener_is_on_the_loopback_address(stack: Stack) -> None:
    addresses = listeners(processes(stack))
    assert {address.ip for address in addresses} == {"127.0.0.1"}
    assert {stack.state.ports[name] for name in SERVICES} <= {address.port for address in addresses}


def test_no_other_stack_chooses_the_ports_of_servers_that_start_later(stack: Stack) -> None:
    other = State(ports=dict(stack.state.ports))
    other.claim_ports(prefer=False)
    assert not set(other.ports.values()) & set(stack.state.ports.values())


def test_a_second_up_changes_nothing(stack: Stack) -> None:
    before = stack.status()
    assert stack.up(with_airflow=False) is False
    assert stack.status() == before


def test_a_stack_that_runs_keeps_its_number_of_workers(stack: Stack) -> None:
    with pytest.raises(StackError, match=r"runs with 0 workers.*make down"):
        stack.up(with_airflow=False, workers=2)
    assert stack.up(with_airflow=False, workers=0) is False


def body(stack: Stack, key: str) -> bytes | None:
    try:
        return stack.s3().get_object(Bucket="waybill-raw", Key=key)["Body"].read()
    except ClientError:
        return None


def test_killed_servers_restart_with_their_data(own: Stack) -> None:
    with psycopg.connect(own.database_url()) as connection:
        connection.execute("create table kept as select 42 as answer")
    own.s3().put_object(Bucket="waybill-raw", Key="kept", Body=b"42")
    killed = pids(own)
    for one in killed:
        os.kill(one, signal.SIGKILL)
    assert eventually(lambda: len(pids(own) - killed) == len(SERVICES))
    assert own.up(with_airflow=False) is False
    assert query(own, "select answer from kept") == 42
    assert eventually(lambda: body(own, "kept") == b"42")  # it answers before it has found all its volumes
    own.s3().put_object(Bucket="waybill-raw", Key="more", Body=b"43")
    assert aws.apis_ready(own.state)


def test_down_leaves_no_process_and_up_finds_the_rows_again(own: Stack) -> None:
    with psycopg.connect(own.database_url()) as connection:
        connection.execute("create table kept as select 42 as answer")
    own.s3().put_object(Bucket="waybill-raw", Key="kept", Body=b"42")
    old = own.state
    running = processes(own)
    own.down()
    assert gone(running)
    with socket.socket() as taken:
        # Connections that the server has just closed linger; they keep nobody from listening, as servers do.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", old.ports["postgres"]))
        taken.listen()
        assert own.up(with_airflow=False) is True
        assert own.state.ports["postgres"] != old.ports["postgres"]
        assert own.state.ports["s3"] == old.ports["s3"]
        assert own.state.secrets == old.secrets
        assert query(own, "select answer from kept") == 42
        assert own.s3().get_object(Bucket="waybill-raw", Key="kept")["Body"].read() == b"42"


def test_down_stops_the_processes_of_a_killed_supervisor(own: Stack) -> None:
    running = processes(own)
    os.kill(int((own.home / "supervisord.pid").read_text()), signal.SIGKILL)
    assert not gone(running)
    own.down()
    assert gone(running)


def test_up_replaces_the_processes_of_a_killed_supervisor(own: Stack) -> None:
    running = processes(own)
    os.kill(int((own.home / "supervisord.pid").read_text()), signal.SIGKILL)
    assert own.up(with_airflow=False) is True
    assert gone(running)
    assert query(own, "select 1") == 1


def test_an_interrupted_up_stops_its_processes(short_home: Path) -> None:
    script = "from waybill_devtools.stack import Stack; Stack().up()"
    environment = os.environ | {"WAYBILL_HOME": str(short_home)}
    command = ["env", "--default-signal=INT", sys.executable, "-c", script]  # a job in the background ignores it
    starting = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    assert eventually(lambda: Stack(short_home).status() != [] and pids(Stack(short_home)) != set())
    running = processes(Stack(short_home))
    starting.send_signal(signal.SIGINT)
    assert starting.wait(PATIENCE) != 0
    assert gone(running)


def test_a_failure_to_start_names_the_program_and_shows_its_log(own: Stack) -> None:
    own.down()
    (own.home / "postgres" / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(StackError, match=r"postgres stopped while starting(.|\n)*no_such_setting") as caught:
        own.up(with_airflow=False)
    assert str(own.home / "logs" / "postgres.log") in str(caught.value)
    assert all(service.state == "stopped" for service in own.status())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts PostgreSQL under another account")
def test_as_root_the_server_runs_without_roots_rights(stack: Stack) -> None:
    status = Path(f"/proc/{pid(stack, 'postgres')}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["Uid"].split()[0] != "0"
    assert int(fields["CapEff"], 16) in (0, *postgres.CAPABILITIES.values())


def test_a_shell_reaches_the_stack_with_psql_and_boto3(stack: Stack) -> None:
    script = f'. "{stack.home}/env" && psql -Atc "select current_user, current_database()"'
    clean = {"PATH": os.environ["PATH"], "HOME": str(stack.home)}
    done = subprocess.run(["sh", "-c", script], env=clean, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "waybill_etl|warehouse"
