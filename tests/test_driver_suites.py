"""
What `scripts.driver_suites` makes of the reports of others' suites.
"""

from scripts.driver_suites.outcomes import (
    FAILED,
    PASSED,
    SKIPPED,
    Difference,
    find_different,
    parse_junit,
    summarise,
)

REPORT = """\
<testsuites><testsuite>
  <testcase classname="tests.test_a.TestIt" name="test_one[x-1]" file="tests/test_a.py"/>
  <testcase classname="tests.test_a.TestIt" name="test_one[x-1]" file="tests/test_a.py">
    <error message="in its teardown"/>
  </testcase>
  <testcase classname="tests.test_a" name="test_two" file="tests/test_a.py"><skipped/></testcase>
  <testcase classname="org.example.SomeTest" name="three[0: text]"/>
</testsuite></testsuites>
"""


def test_outcomes_have_the_names_that_pytest_takes(tmp_path):
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    outcomes = parse_junit(report)
    assert outcomes == {
        "tests/test_a.py::TestIt::test_one[x-1]": FAILED,
        "tests/test_a.py::test_two": SKIPPED,
        "org.example.SomeTest::three[0: text]": PASSED,
    }
    assert summarise(outcomes) == "1 passed, 1 failed, 1 skipped"


def test_a_test_that_did_not_run_differs():
    direct = {"same": PASSED, "worse": PASSED, "gone": PASSED}
    through = {"same": PASSED, "worse": FAILED}
    assert find_different(direct, through) == [
        Difference("gone", PASSED, "absent"),
        Difference("worse", PASSED, FAILED),
    ]


def test_what_differs_by_chance_does_so_direct_too():
    flake = Difference("flake", PASSED, FAILED, (PASSED, FAILED), (PASSED, PASSED))
    fault = Difference("fault", PASSED, FAILED, (PASSED, PASSED), (FAILED, PASSED))
    never_repeated = Difference("fault", PASSED, FAILED)
    assert [each.is_chance for each in (flake, fault, never_repeated)] == [True, False, False]
