"""A call's key, by which a ledger finds its answer: a change would mean paying for all again."""

from __future__ import annotations

from dataclasses import replace

from builders.engine.calls import Call

RIVER = [{"role": "user", "content": "Name a river."}]
OIL = [{"role": "system", "content": "Sei knapp. \U0001f600"}, {"role": "user", "content": "Öl?"}]
SCHEMA = {"type": "object", "properties": {"b": {"type": "integer"}, "a": {"type": "string"}}}
NEW = "\U0001fae8 \U0001f6dc and \U0001fadf"  # emoji of Unicode 15 and 16
ODD = {"temperature": 1e-7, "top_p": 0.1, 7: {"b": (1, -0.0), None: [True]}, "n": 2.0}
SAMPLING = {"top_p": 0.95, "temperature": 0, "stop": ["\n", "\u2028"], "seed": 7, "a": {"z": 1}}
PLAIN = Call(role="writer", endpoint="http://x/v1", model="m", revision="r", prompt=RIVER)

CASES = {
    "messages": (
        PLAIN,
        "1c61d693ff26475b5b20664961c355a3e956877a485318037daf28c1707f6c2d",
    ),
    "another role": (
        replace(PLAIN, role="judge"),
        "1c61d693ff26475b5b20664961c355a3e956877a485318037daf28c1707f6c2d",
    ),
    "the parts of a message in another order": (
        replace(PLAIN, prompt=[{"content": "Name a river.", "role": "user"}]),
        "1c61d693ff26475b5b20664961c355a3e956877a485318037daf28c1707f6c2d",
    ),
    "a text to continue": (
        replace(PLAIN, prompt="Name a river.\n1."),
        "8e87518577fc4345522a8fbffeaf7bad38f7c7de3a0fe1adb4ae07d4284927c7",
    ),
    "another endpoint and model, without a revision": (
        replace(PLAIN, endpoint="embedded", model="SmolLM2", revision=None),
        "75fefd6528549d8c4a923e1d16e779f2d15c7c98c6d18fa628621aac6b320f79",
    ),
    "characters beyond ASCII": (
        replace(PLAIN, prompt=OIL),
        "2e13a67f29f61129accef54f8e18fda68da9ef1d6b9e870a45c345a3d652f31a",
    ),
    "a lone surrogate": (
        replace(PLAIN, prompt="half \ud83d of it"),
        "e5d01ce7e37b5f0781cdee44d03429999281829deba1470efd7ce3f5c85317f9",
    ),
    "sampling whose names are not sorted": (
        replace(PLAIN, sampling=SAMPLING),
        "5ff42f00a691f05ac15119d155ba39c378e1db4aa0bac10d48afff121e6c6e89",
    ),
    "a schema": (
        replace(PLAIN, schema=SCHEMA),
        "dc99c471ac270f6fcd1360352be6ad5fc61f7d19e6d0cb5cdb10550c0de35304",
    ),
    "emoji that some Pythons do not know": (
        replace(PLAIN, prompt=[{"role": "user", "content": NEW}]),
        "dfc2a0b8bf20474bac3275ad6b6aafc65de0f9072d7d7aea2eee338dc28e6b59",
    ),
    "names that are no texts, tuples and small numbers": (
        replace(PLAIN, sampling=ODD),
        "e1d299adf31bb9dec9de33870d55ee3006364b5e527968c6c1e184f215a8ae53",
    ),
    "what JSON cannot tell apart from these": (
        replace(
            PLAIN,
            sampling={
                "n": 2,
                "7": {"null": (True,), "b": [1.0, 0]},
                "top_p": 1e-1,
                "temperature": 1e-07,
            },
        ),
        "e1d299adf31bb9dec9de33870d55ee3006364b5e527968c6c1e184f215a8ae53",
    ),
    "the third sample": (
        replace(PLAIN, sample=2),
        "ec6a95dc203f4f6e01a546383417b1bd2e5dffafddf384463ab7844e75078dc3",
    ),
}


def test_the_key_of_a_call_never_changes() -> None:
    keys = {name: call.key.hex() for name, (call, _) in CASES.items()}
    assert keys == {name: key for name, (_, key) in CASES.items()}
    assert PLAIN.id == CASES["messages"][1][:16]
