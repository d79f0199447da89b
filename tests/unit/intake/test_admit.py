import pytest

from pulka.errors import Temporary, TooLarge
from pulka.intake import Admission


def test_claims_share_one_budget_and_give_it_back():
    admission = Admission(100)
    with admission.claim(60) as first:
        with admission.claim(40):
            assert admission.inflight_bytes == 100
        first.grow(40)
        assert admission.inflight_bytes == 100
    assert admission.inflight_bytes == 0


def test_over_the_budget_is_temporary_and_takes_nothing():
    admission = Admission(100, retry_after_s=2.5)
    with admission.claim(60):
        with pytest.raises(Temporary) as told:
            admission.claim(41)
        assert told.value.retry_after_s == 2.5
        assert admission.inflight_bytes == 60
    assert (admission.inflight_bytes, admission.refused) == (0, 1)


def test_what_can_never_fit_is_too_large_and_not_worth_a_retry():
    admission = Admission(100)
    with pytest.raises(TooLarge), admission.claim(60) as claim:
        claim.grow(41)
    assert admission.inflight_bytes == 0


def test_a_failure_inside_gives_the_claim_back():
    admission = Admission(100)
    with pytest.raises(ZeroDivisionError), admission.claim(60):
        1 / 0  # noqa: B018
    assert admission.inflight_bytes == 0
