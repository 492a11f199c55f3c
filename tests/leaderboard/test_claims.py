"""Claims: entries, tests of statistics against oracles, verdicts from made-up records, and the share of pages that call anything
where nothing is true."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from dataclasses import replace
from statistics import fmean

import numpy as np
import pytest
import scipy.stats
from test_leaderboard import PROTOCOL, lecture, make

from genbench.cli.main import main
from genbench.config.find import find_config
from genbench.errors import InputError
from genbench.leaderboard import build, write_record
from genbench.leaderboard.board import boards
from genbench.leaderboard.claims import verdicts
from genbench.leaderboard.claims.claim import load_claims, make_test, read_claim
from genbench.leaderboard.claims.claim_settings import Settings, load_settings
from genbench.leaderboard.claims.finding import Lack
from genbench.leaderboard.claims.oscillation import ripple
from genbench.leaderboard.claims.spread import compare_divergence
from genbench.leaderboard.claims.statistics import (
    compare_independent,
    compare_paired,
    compare_spreads,
    holm,
)
from genbench.leaderboard.claims.text import lacking_runs
from genbench.records.curve import Curve, CurvePoint
from genbench.suites.claims import claim_suites
from genbench.suites.suite import load_suite
from genbench.system.locations import project_root

SCRIPT = project_root() / "benchmarks" / "claims.py"
spec = importlib.util.spec_from_file_location("claims_simulation", SCRIPT)
assert spec is not None and spec.loader is not None
simulation = importlib.util.module_from_spec(spec)
sys.modules["claims_simulation"] = simulation
spec.loader.exec_module(simulation)

TESTS = "genbench.leaderboard.claims"
SETTINGS = Settings({"digits": 5}, 3, {"digits": {"gan": "dcgan", "vae": "vae"}})
LOW = (10.0, 11.0, 10.5, 10.2, 10.8)
HIGH = (40.0, 44.0, 41.0, 43.0, 42.0)
FID = f"{TESTS}.difference.Difference, metric: fid, scale: ratio"
ENTRY = """\
says: one is better than the other
topic: made up
quantity: a number
compare:
  digits: {{subject: {subject}, rivals: [{rivals}]}}
test: {{class_path: {test}}}
support: It is.
contradiction: It is not.
"""


def claim(folder, test=FID, subject="gan", rivals="vae", name="claim", more=""):
    """A claim from an entry that is written to a folder."""
    path = folder / f"{name}.yaml"
    path.write_text(ENTRY.format(test=test, subject=subject, rivals=rivals) + more)
    return read_claim(path)


def judge(folder, records, **entry):
    """The one verdict of a claim on some records."""
    for record in records:
        write_record(folder, record)
    (verdict,) = verdicts(folder, [claim(folder, **entry)], SETTINGS)
    return verdict


# --- entries --------------------------------------------------------------------------------------


def test_every_shipped_entry_names_rows_that_recipes_or_suites_make():
    settings = load_settings()
    for one in load_claims():
        made = None
        if one.entry.folder:
            suite = load_suite(one.entry.folder.replace("/", "-"))
            assert suite.out == project_root() / "leaderboards" / one.entry.folder
            made = {
                (entry.overrides or {}).get("name", entry.config.partition("/")[2])
                for entry in suite.entries
            } | {"noise-floor"}
        for dataset, comparison in one.entry.compare.items():
            for name in (comparison.subject, *comparison.rivals):
                model = settings.label(dataset, name).partition("@")[0]
                if made is None:
                    assert find_config(f"{dataset}/{model}").is_file()
                else:
                    assert model in made, one.id


def test_a_cell_of_the_slide_has_one_claim():
    cells = [(one.family, one.word) for one in load_claims() if one.word != "none"]
    assert len(cells) == len(set(cells)) > 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("metric: fid", "metrik: fid"), "unknown key test.metrik|test.metric is missing"),
        (("scale: ratio", "scale: log"), "test.scale is 'log', not one of ratio, difference"),
        (("Difference", "Diference"), "test.class_path is .*Diference.*did you mean"),
        (("topic: made up\n", ""), "topic is missing"),
        (("topic: made up", "source: made up"), "unknown key source; choose from: .*, topic, word"),
        (("compare:\n  digits: {subject: gan, rivals: [vae]}\n", ""), "compare is missing"),
    ],
)
def test_a_wrong_entry_gets_one_line_with_its_file_and_key(tmp_path, change, message):
    claim(tmp_path)
    path = tmp_path / "claim.yaml"
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(InputError, match=message) as error:
        load_claims(tmp_path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


# --- statistics -----------------------------------------------------------------------------------


def test_p_values_are_those_of_student_at_the_degrees_of_freedom_that_are_stated():
    draw = np.random.default_rng(0)
    a = draw.normal(1, 1, 5)
    b = draw.normal(0, 3, 5)
    expected = scipy.stats.ttest_ind(a, b, equal_var=False)
    freedom = 4 + 0.25 * (expected.df - 4)
    p = compare_independent(a.tolist(), b.tolist())
    assert p.above == pytest.approx(scipy.stats.t.sf(expected.statistic, freedom))
    assert p.below == pytest.approx(1 - p.above)
    paired = compare_paired(a.tolist(), b.tolist())
    assert paired.above == pytest.approx(scipy.stats.ttest_rel(a, b, alternative="greater").pvalue)
    # the claimed size is subtracted from the effect on the side of the support alone
    shifted = compare_independent(a.tolist(), b.tolist(), beyond=0.5)
    assert shifted.above == pytest.approx(compare_independent((a - 0.5).tolist(), b.tolist()).above)
    assert shifted.below == p.below


@pytest.mark.parametrize("n", [3, 5])
@pytest.mark.parametrize("kind", ["normal", "laplace", "lognormal"])
def test_equal_spreads_are_told_apart_in_at_most_five_per_cent(n, kind):
    draw = getattr(np.random.default_rng(n), kind)
    wrong = fmean(
        compare_spreads(draw(size=n).tolist(), draw(size=n).tolist()).above < 0.05
        for _ in range(400)
    )
    assert wrong <= 0.05 + 2 * (0.05 * 0.95 / 400) ** 0.5


def test_spreads_that_differ_much_are_told_apart():
    draw = np.random.default_rng(0)
    a = draw.normal(0, 20, 20).tolist()
    b = draw.normal(0, 1, 20).tolist()
    assert compare_spreads(a, b).above < 1e-4 < 0.99 < compare_spreads(b, a).above


def test_diverged_runs_are_counted_by_fisher():
    for diverged, rival in ((4, 0), (3, 1), (0, 2)):
        table = [[diverged, 5 - diverged], [rival, 5 - rival]]
        p = compare_divergence(diverged, 5, rival, 5)
        expected = scipy.stats.fisher_exact(table, "greater").pvalue
        assert p.above == pytest.approx(expected)
        assert p.below == pytest.approx(scipy.stats.fisher_exact(table, "less").pvalue)


def test_holm_rejects_step_by_step():
    p = [0.001, 0.2, 0.013, 0.04]
    assert holm(p) == pytest.approx([0.004, 0.2, 0.039, 0.08])
    assert holm([]) == []


def test_ripple_is_zero_on_steady_progress():
    steady = [CurvePoint(i + 1, 0.5**i) for i in range(8)]
    waves = [CurvePoint(i + 1, 2.0 + (-1) ** i) for i in range(8)]
    assert ripple(Curve("fid", 10, 10, "", tuple(steady))) == pytest.approx(0)
    # five values, four steps of +-log 3
    assert ripple(Curve("fid", 10, 10, "", tuple(waves))) == pytest.approx(np.log(3))


@pytest.mark.parametrize(
    ("seeds", "kind"), [(3, "normal"), (3, "log-normal"), (5, "normal"), (5, "log-normal")]
)
def test_a_page_on_which_nothing_is_true_hardly_ever_calls_anything(seeds, kind):
    """Without the correction, a page of more than a hundred hypotheses calls several; benchmarks/claims.py counts more pages."""
    pages = list(simulation.pages(seeds, kind, count=3, seed=seeds))
    uncorrected = [
        one
        for page in pages
        for one in page
        if one.finding.is_tested and one.finding.p_support <= 0.05
    ]
    assert sum(one.finding.is_tested for one in pages[0]) > 40
    assert uncorrected
    assert sum(bool(simulation.called(page)) for page in pages) <= 1


# --- verdicts -------------------------------------------------------------------------------------


def test_what_is_better_by_far_is_supported_and_its_opposite_contradicted(tmp_path):
    records = [
        *make("dcgan", LOW, "gan"),
        *make("vae", HIGH, config="x"),
        *make("flow", HIGH, "flow", config="y"),
    ]
    verdict = judge(tmp_path, records, rivals="vae, flow")
    assert verdict.outcome == "supported"
    assert verdict.effect == pytest.approx(np.exp(np.log(LOW).mean() - np.log(HIGH).mean()))
    assert verdict.interval[0] < verdict.effect < verdict.interval[1] < 1
    assert verdict.adjusted_support == pytest.approx(2 * verdict.finding.p_support)
    assert len(verdict.records) == 15
    assert judge(tmp_path, [], subject="vae", rivals="dcgan").outcome == "contradicted"
    worse = FID + ", subject_is: worse"
    assert judge(tmp_path, [], test=worse, subject="vae", rivals="dcgan").outcome == "supported"
    # better than one and equal to the other: neither better than each, nor worse than one
    assert judge(tmp_path, [], subject="vae", rivals="flow").outcome == "not resolved"


def test_a_rival_may_be_the_noise_floor(tmp_path):
    floor = make("noise-floor", LOW, "-", density="-", speed=None, config="noise-floor")
    worse = FID + ", subject_is: worse"
    records = [*make("dcgan", HIGH, "gan"), *floor]
    verdict = judge(tmp_path, records, test=worse, rivals="noise-floor")
    assert verdict.outcome == "supported"
    assert len(verdict.records) == 10


def test_a_value_that_is_not_positive_has_no_ratio(tmp_path):
    records = [*make("dcgan", (0.0, *LOW[1:]), "gan"), *make("vae", HIGH, config="x")]
    verdict = judge(tmp_path, records)
    assert (verdict.outcome, verdict.effect) == ("not resolved", None)
    assert "not positive" in verdict.sentence


def test_a_value_is_larger_or_smaller_whichever_direction_is_better(tmp_path):
    records = [*make("dcgan", LOW, "gan"), *make("vae", HIGH, config="x")]
    smaller = judge(tmp_path, records, test=FID + ", subject_is: smaller")
    larger = judge(tmp_path, [], test=FID + ", subject_is: larger")
    assert (smaller.outcome, larger.outcome) == ("supported", "contradicted")
    assert smaller.finding.p_support == larger.finding.p_contradiction


def test_a_metric_is_held_against_every_other_one_of_the_same_runs(tmp_path):
    """Values of one run move together, and their differences hardly."""
    records = make("dcgan", LOW, "gan")
    for record, shift in zip(records, (0.0, 0.2, 0.1, 0.3, -0.1), strict=True):
        noise = 0.01 * (record.seed % 2)
        for name, value in (("precision", 0.5), ("recall", 0.45), ("coverage", 0.3)):
            value = value + shift + noise * (name != "precision")
            record.metrics[name] = replace(record.metrics[name], value=value)
    within = f"{TESTS}.within.Within, metric: precision, others: [recall, coverage]"
    verdict = judge(tmp_path, records, test=within, rivals="")
    assert verdict.outcome == "supported"
    assert verdict.effect == pytest.approx(0.05 - 0.004)
    assert verdict.interval[0] < verdict.effect < verdict.interval[1] < 0.06
    assert "the effect is against recall" in verdict.sentence
    p = compare_paired([0.5] * 5, [0.45 + 0.01 * (seed % 2) for seed in range(5)])
    assert verdict.finding.p_support == pytest.approx(p.above)
    # one of two that is larger contradicts; each by itself
    between = f"{TESTS}.within.Within, metric: recall, others: [precision, coverage]"
    contradicted = judge(tmp_path, [], test=between, rivals="")
    assert contradicted.outcome == "contradicted"
    assert contradicted.finding.p_contradiction == pytest.approx(2 * p.above)
    lacking = f"{TESTS}.within.Within, metric: precision, others: [psnr]"
    assert "psnr: not measured for dcgan" in judge(tmp_path, [], test=lacking, rivals="").sentence


@pytest.mark.parametrize(
    ("kind", "share", "outcome"),
    [
        ("exact", 1e-6, "supported"),
        ("bound", 1e-6, "supported"),
        ("estimate", 1e-6, "not resolved"),
        ("exact", 1e-200, "not resolved"),
    ],
)
def test_a_likelihood_bounds_the_volume_of_typical_images(tmp_path, kind, share, outcome):
    """A uniform model of 8 of 17 levels has 8^64 typical images of 17^64 arrays."""
    bits = tuple(3 + noise for noise in (-0.02, -0.01, 0.0, 0.01, 0.02))
    records = make("dcgan", LOW, "autoregressive", kind=kind, bits=bits)
    test = f"{TESTS}.volume.Volume, share: {share:.210f}"
    verdict = judge(tmp_path, records, test=test, rivals="")
    assert verdict.effect == pytest.approx(64 * (math.log2(8) - math.log2(17)))
    assert verdict.interval[0] < verdict.effect < verdict.interval[1] < -60
    assert verdict.outcome == outcome
    assert verdict.finding.p_contradiction == 1


def test_one_rival_that_is_better_contradicts(tmp_path):
    middle = tuple(2 * value for value in LOW)
    records = [
        *make("dcgan", middle, "gan"),
        *make("vae", HIGH, config="x"),
        *make("flow", LOW, "flow", config="y"),
    ]
    verdict = judge(tmp_path, records, rivals="vae, flow")
    assert verdict.outcome == "contradicted"
    assert "the effect is against flow" in verdict.sentence
    alone = judge(tmp_path, [], rivals="flow")
    assert verdict.finding.p_contradiction == pytest.approx(2 * alone.finding.p_contradiction)


def test_too_few_seeds_are_no_verdict_but_show_the_effect(tmp_path):
    records = [*make("dcgan", LOW, "gan"), *make("vae", HIGH[:3], config="x")]
    verdict = judge(tmp_path, records)
    assert verdict.outcome == "not measured"
    assert verdict.effect is not None
    assert verdict.lacks == (Lack("digits", "vae", (3, 4), 5),)
    assert str(verdict.lacks[0]) == "digits/vae: 3 of 5 seeds"
    # records of the former protocol, whose spread leaves out the noise of sampling, count as none
    former = replace(PROTOCOL, evaluated_by="one seed")
    both = [
        *make("dcgan", LOW, "gan", protocol=former),
        *make("flow", HIGH, "flow", protocol=former, config="y"),
    ]
    for record in both:
        write_record(tmp_path, record)
    assert str(judge(tmp_path, [], rivals="flow").lacks[0]) == "digits/flow: 0 of 5 seeds"


def test_a_row_does_not_win_by_the_runs_that_did_not_diverge(tmp_path):
    records = [*make("dcgan", LOW, "gan", diverged=(1, 3, 4)), *make("vae", HIGH, config="x")]
    verdict = judge(tmp_path, records)
    assert verdict.outcome == "not resolved"
    assert "3 of 5 runs of dcgan diverged" in verdict.sentence
    spread = f"{TESTS}.spread.Spread, metric: fid, subject_is: smaller"
    assert judge(tmp_path, [], test=spread).finding.p_support == 1
    unstable = f"{TESTS}.spread.Spread, metric: fid, subject_is: larger"
    for record in make("flow", LOW, "flow", diverged=(0, 1, 2, 3, 4), config="y"):
        write_record(tmp_path, record)
    lost = judge(tmp_path, [], test=unstable, subject="flow", rivals="vae")
    assert (lost.outcome, lost.effect) == ("supported", None)
    assert lost.finding.p_support == pytest.approx(2 / 252)
    # Fisher's 1/12, twice for the two ways to be less stable
    assert judge(tmp_path, [], test=spread).finding.p_contradiction == pytest.approx(1 / 6)


@pytest.mark.parametrize(
    ("kind", "rival_kind", "outcome"),
    [
        ("exact", "exact", "supported"),
        ("bound", "exact", "supported"),
        ("exact", "bound", "not resolved"),
        ("estimate", "exact", "not resolved"),
        ("bound", "bound", "not resolved"),
    ],
)
def test_a_likelihood_is_better_where_the_kinds_prove_it(tmp_path, kind, rival_kind, outcome):
    low = (1.0, 1.01, 1.02, 1.03, 1.04)
    high = tuple(value + 1 for value in low)
    records = [
        *make("dcgan", LOW, "gan", kind=kind, bits=low),
        *make("vae", LOW, kind=rival_kind, bits=high, config="x"),
    ]
    order = f"{TESTS}.likelihood.LikelihoodOrder, about: "
    assert judge(tmp_path, records, test=order + "models").outcome == outcome
    numbers = judge(tmp_path, [], test=order + "numbers").outcome
    assert numbers == ("supported" if kind == rival_kind else "not resolved")


def test_a_gap_of_two_bounds_is_one_of_the_same_runs(tmp_path):
    bits = (2.0, 2.2, 2.4, 2.6, 2.8)
    tighter = (1.9, 2.09, 2.31, 2.5, 2.69)
    records = [
        *make("vae", LOW, kind="bound", bits=bits, variant="elbo", options={"K": 1}),
        *make("vae", LOW, kind="bound", bits=tighter, options={"K": 64}),
        *make("flow", LOW, kind="bound", bits=tighter, config="y"),
    ]
    gap = f"{TESTS}.likelihood.BoundGap"
    verdict = judge(tmp_path, records, test=gap, subject="vae@elbo")
    assert verdict.outcome == "supported"  # by pairs: the spread over seeds is five times the gap
    assert verdict.effect == pytest.approx(0.102)
    assert (
        judge(tmp_path, [], test=gap, subject="vae@elbo", rivals="flow").outcome == "not resolved"
    )


def test_speeds_are_compared_on_one_device_and_counts_without_error(tmp_path):
    records = [
        *make("dcgan", LOW, "gan", speed=1000.0, nfe=1),
        *make("vae", LOW, speed=100.0, nfe=50, config="x"),
        *make("flow", LOW, "flow", speed=100.0, nfe=1, device="another", config="y"),
    ]
    speed = f"{TESTS}.ratio.Ratio, quantity: images per second, subject_is: larger, factor: "
    assert judge(tmp_path, records, test=speed + "2").outcome == "supported"
    assert judge(tmp_path, [], test=speed + "11").outcome == "not resolved"
    other = judge(tmp_path, [], test=speed + "2", rivals="flow")
    assert other.outcome == "not resolved"
    assert "different devices" in other.sentence
    evaluations = f"{TESTS}.ratio.Ratio, quantity: network evaluations, subject_is: smaller"
    verdict = judge(tmp_path, [], test=evaluations)
    assert (verdict.outcome, verdict.effect, verdict.adjusted_support) == (
        "supported",
        1 / 50,
        None,
    )
    assert judge(tmp_path, [], test=evaluations, rivals="vae, flow").outcome == "not resolved"
    assert (
        judge(tmp_path, [], test=evaluations, subject="vae", rivals="flow").outcome
        == "contradicted"
    )


def test_what_models_declare_needs_one_seed(tmp_path):
    records = [
        *make("dcgan", LOW[:1], "gan"),
        *make("vae", LOW[:1], kind="bound", bits=(2.0,), config="x"),
    ]
    declared = f"{TESTS}.declared.Declared, density: "
    assert judge(tmp_path, records, test=declared + "implicit", rivals="").outcome == "supported"
    assert judge(tmp_path, [], test=declared + "implicit").outcome == "contradicted"
    assert (
        judge(tmp_path, [], test=declared + "bound", subject="vae", rivals="").outcome
        == "supported"
    )
    assert (
        judge(tmp_path, [], test=declared + "exact", subject="vae", rivals="").outcome
        == "contradicted"
    )


@pytest.mark.parametrize("passed", [True, False])
def test_a_demonstration_decides_by_its_numbers(tmp_path, passed):
    path = tmp_path / "one.yaml"
    path.write_text(
        "says: exact\ntopic: s\nquantity: q\nsupport: y\ncontradiction: n\n"
        f"test: {{class_path: {TESTS}.demonstrated.Demonstrated, name: sums}}\n"
    )
    (before,) = verdicts(tmp_path, [read_claim(path)], SETTINGS)
    assert (before.outcome, before.sentence) == (
        "not measured",
        "not yet computed: genbench demo sums",
    )
    value = {"quantity": "sum", "value": 2.0 if passed else 2.5, "expected": 2.0, "tolerance": 0.1}
    record = {
        "name": "sums",
        "title": "t",
        "formula": "f",
        "sentence": "s.",
        "passed": passed,
        "values": [value],
    }
    (tmp_path / "demos").mkdir()
    (tmp_path / "demos" / "sums.json").write_text(json.dumps(record))
    (verdict,) = verdicts(tmp_path, [read_claim(path)], SETTINGS)
    assert verdict.outcome == ("supported" if passed else "contradicted")
    assert (verdict.dataset, verdict.effect) == ("", 0.0 if passed else 0.5)


def test_budgets_that_disagree_say_so(tmp_path):
    more = "budgets: {equal seconds: claims/seconds, not yet: claims/nothing}\n"
    one = claim(tmp_path, more=more)
    for record in [*make("dcgan", LOW, "gan"), *make("vae", HIGH, config="x")]:
        write_record(tmp_path, record)
    for record in [*make("dcgan", HIGH, "gan"), *make("vae", LOW, config="x")]:
        write_record(tmp_path / "claims" / "seconds", record)
    contradicted, supported = verdicts(tmp_path, [one], SETTINGS)
    assert (contradicted.outcome, contradicted.budget) == ("contradicted", "equal seconds")
    assert (supported.outcome, supported.disagrees) == ("supported", ("equal seconds",))


def test_a_budget_is_told_of_the_data_sets_that_were_measured_under_it(tmp_path):
    path = tmp_path / "claim.yaml"
    points = "  points2d: {subject: gan, rivals: [vae]}\ntest:"
    text = ENTRY.format(test=FID, subject="gan", rivals="vae").replace("test:", points)
    path.write_text(text + "budgets: {equal seconds: claims/seconds}\n")
    one = read_claim(path)
    for record in [*make("dcgan", LOW, "gan"), *make("vae", HIGH, config="x")]:
        write_record(tmp_path / "claims" / "seconds", record)
    found = {(verdict.dataset, verdict.budget) for verdict in verdicts(tmp_path, [one], SETTINGS)}
    assert found == {("digits", ""), ("points2d", ""), ("digits", "equal seconds")}


# --- the command ----------------------------------------------------------------------------------


def test_the_command_writes_the_page_and_says_what_lacks(tmp_path, capsys):
    for record in lecture():
        write_record(tmp_path, record)
    assert not any(path.name == "claims.md" for path in build(tmp_path))
    assert main(["claims", "--out", str(tmp_path), "--data", "digits"]) == 0
    printed = capsys.readouterr().out
    assert "digits/gan: 0 of 5 seeds" in printed
    assert "points2d" not in printed
    text = (tmp_path / "claims.md").read_text()
    (tmp_path / "claims.md").write_text("changed")
    build(tmp_path)
    assert (tmp_path / "claims.md").read_text() == text
    assert text.index("## Not measured") < text.index("## What was compared")
    assert main(["claims", "--out", str(tmp_path), "--jobs", "2"]) == 2
    assert main(["claims", "--out", str(tmp_path), "--data", "digit"]) == 2


def test_a_folder_without_records_has_no_verdicts(tmp_path, capsys):
    assert main(["claims", "--out", str(tmp_path / "nowhere")]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"genbench: {tmp_path}/nowhere has no records/; ")
    assert printed.err.count("\n") == 1
    assert not printed.out
    assert not list(tmp_path.iterdir())


def test_what_lacks_is_made_by_suites(tmp_path):
    lacks = [
        Lack("digits", "vae", (3, 4), 5),
        Lack("digits", "vae@mean", (4,), 5),
        Lack("mnist", "gan-small", (0, 1, 2), 3),
        Lack("digits", "gan-minimax", (0, 1, 2, 3, 4), 5, "claims/games"),
    ]
    three, five, games = claim_suites(lacks, tmp_path)
    assert [(entry.config, entry.evaluations) for entry in five.entries] == [
        ("digits/vae", ("default", "mean"))
    ]
    assert (three.seeds, five.seeds, five.out) == ((0, 1, 2), (0, 1, 2, 3, 4), tmp_path)
    assert games.out == tmp_path / "claims" / "games"
    assert len(games.entries) == 4


def test_a_row_that_several_claims_lack_is_made_once(tmp_path):
    write_record(tmp_path, make("dcgan", LOW[:1], "gan")[0])
    two = [claim(tmp_path, name=name) for name in "ab"]
    lacks = lacking_runs(verdicts(tmp_path, two, SETTINGS))
    assert [str(lack) for lack in lacks] == [
        "digits/dcgan: 1 of 5 seeds",
        "digits/vae: 0 of 5 seeds",
    ]


def test_of_two_configurations_under_one_name_the_one_with_more_seeds_counts(tmp_path):
    records = [
        *make("dcgan", LOW, "gan"),
        *make("dcgan", HIGH[:2], "gan", config="z"),
        *make("vae", HIGH, config="x"),
    ]
    assert len(boards(records)[0].rows) == 3
    assert judge(tmp_path, records).outcome == "supported"


def test_the_class_path_of_a_test_is_one_of_the_tests():
    with pytest.raises(ValueError, match="did you mean"):
        make_test({"class_path": f"{TESTS}.difference.Differences", "metric": "fid"})
