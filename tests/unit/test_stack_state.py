from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from waybill_devtools.stack import Stack, StackError
from waybill_devtools.stack.state import OTHER_PORTS, PORT_RANGE, PREFERRED_PORTS, State


def test_an_older_state_keeps_its_secrets_and_gains_new_ones() -> None:
    state = State(secrets={"postgres": "kept"})
    assert not state.has_secrets()
    state.generate_secrets()
    assert state.has_secrets()
    assert state.secrets["postgres"] == "kept"
    before = dict(state.secrets)
    state.generate_secrets()
    assert state.secrets == before


def test_an_older_state_gains_the_ports_of_new_parts() -> None:
    state = State(ports={"s3": 8333})
    assert not state.has_ports()
    state.claim_ports(prefer=False)
    assert state.has_ports()


def test_a_free_port_is_kept_and_an_occupied_one_is_replaced() -> None:
    state = State()
    state.claim_ports(prefer=False)
    before = dict(state.ports)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", before["s3"]))
        taken.listen()
        state.claim_ports(prefer=False)
    changed = {name for name in before if state.ports[name] != before[name]}
    assert changed == {"s3"}
    assert state.ports["s3"] in PORT_RANGE


def test_every_service_has_a_port_of_its_own() -> None:
    state = State()
    state.claim_ports(prefer=True)
    assert set(state.ports) == {*PREFERRED_PORTS, *OTHER_PORTS}
    assert len(set(state.ports.values())) == len(state.ports)


def test_stacks_that_start_at_once_have_different_ports() -> None:
    one, other, later = State(), State(), State()
    reservations = one.claim_ports(prefer=True)
    other.claim_ports(prefer=True)
    assert not set(one.ports.values()) & set(other.ports.values())
    later.ports = dict(one.ports)
    for reservation in reservations:
        reservation.close()
    later.claim_ports(prefer=False)
    assert later.ports == one.ports


def test_state_survives_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    state = State()
    state.generate_secrets()
    state.claim_ports(prefer=False)
    state.save(file)
    assert State.load(file) == state
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_secrets_differ_from_stack_to_stack() -> None:
    one, other = State(), State()
    one.generate_secrets()
    other.generate_secrets()
    assert not set(one.secrets.values()) & set(other.secrets.values())
    assert len(set(one.secrets.values())) == len(one.secrets)


def test_a_stack_that_was_never_started_names_the_next_step(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    with pytest.raises(StackError, match="make up"):
        stack.env()
    assert stack.status() == []
    stack.down()
