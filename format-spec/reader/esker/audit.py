"""Proves the log of what was done to a repository (chapter 18)."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from .errors import Damage, TooNew
from .repository import HASH, Repository

CONTEXT = b"esker 2026 v1 audit record"
INIT, BEGIN, KEY_ADD, KEY_REMOVE = 1, 2, 7, 8
EVENTS = ["init", "begin", "backup", "copy", "forget", "prune", "key added", "key removed", "note", "repair", "verification", "acknowledged"]


def verifies(public: bytes, record) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(record.signature, CONTEXT + record.signed)
        return True
    except (InvalidSignature, ValueError):
        return False


def audit(repo: Repository, found):
    """Every record in order, each with what it is worth; tells `found` of each fault."""
    records, unread = {}, set()
    for name in repo.names("audit", HASH):
        try:
            records[bytes.fromhex(name)] = repo.control("audit", name)
        except (Damage, TooNew) as error:
            unread.add(bytes.fromhex(name))
            found(error)
    for name, record in records.items():
        for head in record.heads:
            if head not in records and head not in unread:
                found(Damage(f"audit/{head.hex()}: missing, record {name.hex()[:8]} follows it"))
    known, has_init, judged = {}, False, []
    order = sorted(_ordered(records), key=lambda name: not (records[name].event == INIT and not records[name].heads))
    for name in order:
        record = records[name]
        keys, gap = _merged([known.get(head) for head in record.heads])
        worth = _worth(repo, record, keys, gap, has_init)
        if worth in ("signed", "unsigned"):
            has_init |= record.event == INIT
            if record.event in (INIT, BEGIN, KEY_ADD):
                for key in record.keys:
                    keys.setdefault(key.id, (key.public, False))
            if record.event == KEY_REMOVE:
                keys |= {item.id: (keys[item.id][0], True) for item in record.objects if item.id in keys}
        else:
            found(Damage(f"audit/{name.hex()}: {worth}"))
        known[name] = (keys, gap)
        judged.append((name, record, worth))
    return judged


def _ordered(records: dict):
    """Names, each after those that its record names."""
    done = set()
    for first in sorted(records, key=lambda name: (records[name].at_ms, name)):
        stack = [first]
        while stack:
            name = stack[-1]
            waits = [head for head in records[name].heads if head in records and head not in done]
            stack.extend(waits)
            if not waits:
                stack.pop()
                if name not in done:
                    done.add(name)
                    yield name


def _merged(heads: list):
    keys, gap = {}, False
    for head in heads:
        of_head, has_gap = head or ({}, True)
        gap |= has_gap
        for key, (public, removed) in of_head.items():
            was = keys.get(key, (public, False))
            keys[key] = (was[0], was[1] or removed)
    return keys, gap


def _worth(repo: Repository, record, keys: dict, gap: bool, has_init: bool) -> str:
    begins = record.event in (INIT, BEGIN)
    if record.repository != repo.config.repository or begins != (not record.heads) or record.event == BEGIN and has_init:
        return "forged: out of order, or of another repository"
    if not repo.config.encrypted:
        return "unsigned" if record.key is None and record.signature is None else "forged: it names a key"
    introduced = {key.id: (key.public, False) for key in record.keys} if begins else {}
    if record.key not in introduced and record.key not in keys:
        return "unsigned" if gap and record.key else "forged: nobody introduced its key"
    public, removed = introduced.get(record.key) or keys[record.key]
    if (public is None) != (record.signature is None) or public is None and record.event == INIT:
        return "forged: not signed as its key signs"
    if public is not None and not verifies(public, record):
        return "forged: not signed by its key"
    if removed:
        return "late: written with a key after its removal"
    return "signed" if public is not None else "unsigned"
