"""
The rule of the prefilter, in Python and in C.
"""

import random

import pytest

from sqlml.proxy.handover import LOOK_BYTES
from sqlml.proxy.prefilter import may_concern_us

native = pytest.importorskip("sqlml.proxy._relay")

MAYBE = [
    b"model",
    b"MODELS",
    b"create model m predict y from t",
    b"/* Model */",
    b'"model"',
    b"show models;",
    b"a.model.b",
    b"select predict(churn, c) from c",
    b"select predict_proba \t\n( _churn, c)",
    b'predict("Churn")',
    b"predict(\xc3\xa9t\xc3\xa9)",
    b"PREDICT(a",
    b"show sqlml.proxy",
    b"SQLML . Proxy",
]
NEVER = [
    b"",
    b"m",
    b"d",
    b"mode",
    b"models2",
    b"supermodel",
    b"model_1",
    b"$model",
    b"model$",
    b"\xc3\xa9model",
    b"model\xc3\xa9",
    b"modelss",
    b"predict",
    b"predict(",
    b"predict()",
    b"predict('churn', c)",
    b"predict($1)",
    b"predict(1)",
    b"predicts(a)",
    b"predict_probab(a)",
    b"xpredict(a)",
    b"predict/**/(a)",
    b"sqlml.predict",
    b"sqlml proxy",
    b"xsqlml.proxy",
    b"select abalance from pgbench_accounts where aid = 1",
]
PIECES = [
    *(b"model s mo del Model MODEL models predict PREDICT predict_proba _proba pre".split()),
    *(b"dict sqlml SQLML proxy . ( ) ' \" $ 1 _ a z \xc3 q d od di".split()),
    *(b" ", b"\t", b"\n", b"\v", b"\f", b"\r", b"\0", b"  "),
]


@pytest.mark.parametrize("ask", [may_concern_us, native.may_concern_us], ids=["python", "c"])
class TestRule:
    @pytest.mark.parametrize("text", MAYBE)
    @pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 34, 63, 64, 65, 200])
    def test_what_may_concern_us_is_seen_anywhere(self, ask, text, size):
        assert ask(text)
        assert ask(b"-" * size + text)
        assert ask(b"-" * size + text + b"-" * 50)

    @pytest.mark.parametrize("text", NEVER)
    def test_what_cannot_is_not(self, ask, text):
        assert not ask(text)
        assert not ask(b"-" * 40 + text + b" " * 40)

    def test_no_more_than_the_head_is_looked_at(self, ask):
        word = b"model"
        assert ask(b" " * (LOOK_BYTES - len(word)) + word + b" ")
        assert not ask(b" " * (LOOK_BYTES - len(word) + 1) + word)
        # What comes behind the head might go on with the word, or not.
        assert ask(b" " * (LOOK_BYTES - len(word)) + word + b"_1")


def test_both_say_the_same():
    source = random.Random(20261121)
    maybes = 0
    for _ in range(10_000):
        pieces = source.choices(PIECES, k=source.randrange(12))
        if source.random() < 0.1:
            pieces.insert(0, b"x" * source.randrange(LOOK_BYTES - 30, LOOK_BYTES + 5))
        text = b"".join(pieces)
        assert native.may_concern_us(text) == may_concern_us(text), text
        maybes += may_concern_us(text)
    assert 500 < maybes < 9_500
