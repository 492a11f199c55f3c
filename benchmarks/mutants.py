"""Mistakes on purpose: does a test see each of them?

    python benchmarks/mutants.py                    # all of them; exit 1 where one is not seen
    python benchmarks/mutants.py --only warm-up     # those whose name, file or test has this text
    python benchmarks/mutants.py --list

Each mutation is one edit of one file of the package: a text that stands there once, and what takes its place. It is made in a
temporary copy of the tree, never in the checkout, and the tests that are named beside it are run there. All of these tests pass
without the edit, which is seen first. A mutation is killed where one of its tests fails; one that hangs is not.

`tests/test_mutants.py` sees that every edit still applies, and that the tests exist.
"""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
# seconds that the tests of a mutation may take
PATIENCE = 300


class Mutation(NamedTuple):
    """A mistake.

    Attributes:
        name: What is wrong, in words.
        file: Below genbench/.
        old: A text that stands once in the file.
        new: What takes its place.
        tests: Those that must see it: <file below tests/>::<function>, or one of its parameters in brackets.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def path(self) -> Path:
        return Path("genbench") / self.file


MUTATIONS = (
    # --- parts of one's own -----------------------------------------------------------------------------------------------
    Mutation(
        "records with a metric that came later stand on another board",
        "records/parts.py",
        "if name not in LATER_METRICS)",
        "if name)",
        (
            "leaderboard/test_leaderboard.py::"
            "test_records_without_a_metric_that_came_later_keep_their_ids_and_share_a_table_with_others",
        ),
    ),
    Mutation(
        "an argument that came later is left out whatever its value",
        "config/former.py",
        "if key not in neutral or value != neutral[key]",
        "if key not in neutral",
        (
            "config/test_former.py::test_an_argument_that_came_later_counts_where_it_changes_something",
        ),
    ),
    Mutation(
        "the pooled encoder has strides",
        "nets/conv.py",
        "layers += [nn.Conv2d(narrow, wide, 3, padding=1), nn.AvgPool2d(2)]",
        "layers.append(nn.Conv2d(narrow, wide, 4, stride=2, padding=1))",
        ("nets/test_nets.py::test_an_argument_breaks_one_rule_of_dcgan_and_keeps_the_others",),
    ),
    Mutation(
        "batch normalisation is taken by any model",
        "runs/batch_norms.py",
        "if isinstance(module, BatchNorm) and not model.gathers_batch:",
        "if False:",
        (
            "runs/test_batch_norms.py::test_a_vae_with_batch_norm_would_evaluate_by_the_statistics_it_began_with",
        ),
    ),
    Mutation(
        "a metric may have any value",
        "metrics/measure.py",
        "if not math.isfinite(value) or value not in info.range:",
        "if False:",
        ("metrics/test_catalogue.py::test_a_value_that_the_metric_cannot_take_is_refused",),
    ),
    Mutation(
        "one timing of each resolves any difference of speed",
        "leaderboard/words.py",
        "return fast.mean > SPREAD_OF_ONE_TIMING * slow.mean",
        "return fast.mean > slow.mean",
        ("leaderboard/test_leaderboard.py::test_of_one_seed_a_speed_must_be_far_from_another",),
    ),
    Mutation(
        "a noise schedule may end half way",
        "formulas/noise_end.py",
        "<= _LARGEST_REST * end.sigma",
        "<= 10 * end.sigma",
        ("models/test_flow_matching.py::test_a_path_that_ends_with_an_image_is_refused",),
    ),
    Mutation(
        "a decoded copy belongs to any class of its name",
        "data/stored.py",
        'return {**self.source, "class": owner, "code": code}',
        "return self.source",
        ("data/test_declaration.py::test_two_classes_of_one_name_have_copies_of_their_own",),
    ),
    Mutation(
        "a state.json without its digest is believed",
        "runs/state.py",
        'raise ValueError("digest is missing, where a configuration is noted: it was edited")',
        "pass",
        (
            "promises/test_own_files.py::test_a_state_whose_digest_was_removed_is_believed_by_no_command",
        ),
    ),
    # --- training ---------------------------------------------------------------------------------------------------------
    Mutation(
        "what was parsed once is handed out itself, not a copy",
        "config/parsing.py",
        "_parsed_before(parser, text).clone()",
        "_parsed_before(parser, text)",
        ("config/test_parsing.py::test_one_text_is_parsed_once_and_its_copies_are_apart",),
    ),
    Mutation(
        "a class of a user is parsed once a process",
        "config/parsing.py",
        "set(_PACKAGE.findall(text)) <= _LASTING and",
        "text and",
        ("config/test_parsing.py::test_a_class_of_a_user_is_read_anew",),
    ),
    Mutation(
        "clip_norm is ignored",
        "steps.py",
        "if clip_norm is not None:",
        "if False:",
        ("training/test_train.py::test_a_long_gradient_is_cut_to_the_norm_that_is_asked_for",),
    ),
    Mutation(
        "warm-up by the images before the step",
        "steps.py",
        "warmup_factor(stop, ",
        "warmup_factor(start, ",
        ("training/test_train.py::test_every_player_ends_its_warmup_at_its_rate",),
    ),
    Mutation(
        "a learning-rate schedule by the images after the step",
        "steps.py",
        "optimization.schedule.factor(start, budget)",
        "optimization.schedule.factor(stop, budget)",
        ("training/test_learning_rate.py::test_rates_are_those_of_torch",),
    ),
    Mutation(
        "a run with a learning-rate schedule goes on beyond its budget",
        "config/keys.py",
        "if larger_budget and scheduled:",
        "if False:",
        ("training/test_learning_rate.py::test_a_larger_budget_is_refused_with_a_schedule",),
    ),
    Mutation(
        "warm-up of the player whose turn it is, alone",
        "model.py",
        "set_rates(optimizers, rate_factor(",
        "set_rates([optimizers[turn]], rate_factor(",
        ("training/test_train.py::test_every_player_ends_its_warmup_at_its_rate",),
    ),
    Mutation(
        "the turn of a game begins anew after an interruption",
        "model.py",
        "self._turns[self._images_seen // images % len(self._turns)]",
        "self._turns[batch_idx % len(self._turns)]",
        ("training/test_train.py::test_players_take_turns_also_over_an_interruption",),
    ),
    Mutation(
        "gradients are summed over processes, not averaged",
        "steps.py",
        "    flat /= world_size",
        "    flat /= 1",
        ("training/test_train.py::test_gradients_are_means_over_processes",),
    ),
    Mutation(
        "each process writes the state of its own images alone",
        "batch.py",
        "self.rows[_gathered(places, world_size)] = _gathered(values.to(self.rows), world_size)",
        "self.rows[places] = values.to(self.rows)",
        ("promises/test_image_state.py::test_state_of_images_is_one_for_any_number_of_processes",),
    ),
    Mutation(
        "losses after a step are those of one process",
        "steps.py",
        "[*reduced, *losses.values()]",
        "reduced",
        ("promises/test_image_state.py::test_losses_after_a_step_are_means_over_processes",),
    ),
    Mutation(
        "gradients of a batch in parts are summed, not averaged",
        "steps.py",
        "None if gradient is None else gradient / micro_batches",
        "None if gradient is None else gradient",
        ("training/test_train.py::test_a_batch_in_parts_makes_the_same_steps",),
    ),
    Mutation(
        "bfloat16 also in evaluation",
        "training/precision.py",
        "        if not net.training:",
        "        if False:",
        ("training/test_train.py::test_bf16_is_for_training_alone",),
    ),
    Mutation(
        "bfloat16 is not used at all",
        "training/precision.py",
        "dtype=torch.bfloat16",
        "enabled=False, dtype=torch.bfloat16",
        ("training/test_train.py::test_bf16_changes_the_networks_and_not_the_losses",),
    ),
    Mutation(
        "only one checkpoint is kept",
        "runs/checkpoint_files.py",
        '.glob("*.ckpt"))[:-2]',
        '.glob("*.ckpt"))[:-1]',
        ("training/test_train.py::test_the_last_two_checkpoints_are_kept",),
    ),
    Mutation(
        "a damaged checkpoint leads back to the beginning",
        "runs/checkpoint_files.py",
        '        lines.append(\n            f"{path} is damaged',
        '        return None, [""]\n        lines.append(\n            f"{path} is damaged',
        ("training/test_train.py::test_a_damaged_checkpoint_falls_back_to_the_one_before[flip]",),
    ),
    Mutation(
        "a checkpoint of another configuration is restored",
        "runs/checkpoint.py",
        "    if content.config is not None:",
        "    if False:",
        (
            "promises/test_own_files.py::test_without_its_state_a_run_does_not_go_on_under_another_config[seed]",
            "promises/test_unsafe.py::test_a_checkpoint_of_another_run_is_refused",
        ),
    ),
    Mutation(
        "a checkpoint that notes no configuration is believed by itself",
        "training/begin.py",
        'if missing and state["config"] is None:',
        "if False:",
        (
            "promises/test_own_files.py::test_a_checkpoint_of_a_former_version_is_believed_beside_a_state_that_notes_more",
        ),
    ),
    Mutation(
        "a checkpoint of other images is restored",
        "runs/checkpoint.py",
        "    if noted != data_hash:",
        "    if False:",
        (
            "promises/test_own_files.py::test_without_its_state_a_run_does_not_go_on_over_other_images",
        ),
    ),
    Mutation(
        "a checkpoint of another teacher is restored",
        "runs/checkpoint.py",
        "        if noted[name] != needed_weights[name]:",
        "        if False:",
        (
            "promises/test_own_files.py::test_without_its_state_a_run_does_not_go_on_from_another_teacher",
        ),
    ),
    Mutation(
        "a checkpoint does not note the seed",
        "config/config.py",
        "leaves_of(tree) if not may_change(key)}",
        'leaves_of(tree) if not may_change(key) and key != "seed"}',
        ("promises/test_unsafe.py::test_a_checkpoint_of_another_run_is_refused",),
    ),
    Mutation(
        "the average forgets its random start at its full half-life",
        "training/ema.py",
        "half_life = min(self.half_life, model.images_seen / 20)",
        "half_life = self.half_life",
        ("training/test_train.py::test_the_average_forgets_the_start_early",),
    ),
    Mutation(
        "the average's half-life is in steps",
        "training/ema.py",
        "        n = model.images_seen - self._seen\n",
        "        n = 1\n",
        ("training/test_train.py::test_the_average_has_its_half_life_in_images",),
    ),
    Mutation(
        "the average begins anew after an interruption",
        "training/checkpointer.py",
        'self.ema.begin(model, state["ema"])',
        "self.ema.begin(model, None)",
        (
            "training/test_train.py::test_resumed_from_mid_epoch_equals_uninterrupted_bit_for_bit[digits/vae]",
        ),
    ),
    Mutation(
        "optimizers begin anew after an interruption",
        "training/checkpointer.py",
        "                optimizer.load_state_dict(saved)",
        "                pass",
        (
            "training/test_train.py::test_resumed_from_mid_epoch_equals_uninterrupted_bit_for_bit[digits/vae]",
        ),
    ),
    Mutation(
        "training seconds begin at 0 after an interruption",
        "training/metrics_logger.py",
        'self.seconds = state["seconds"]',
        "self.seconds = 0.0",
        ("training/test_train.py::test_seconds_of_training_go_on_after_an_interruption",),
    ),
    Mutation(
        "sums of losses begin anew after an interruption",
        "training/metrics_logger.py",
        'self._counts = dict(state["counts"])',
        "self._sums = {}",
        ("training/test_train.py::test_a_mean_of_losses_goes_on_after_an_interruption",),
    ),
    Mutation(
        "weights that are not finite are saved in a checkpoint",
        "training/divergence.py",
        "first = torch.where((first < 0) & ~finite, model.images_seen, first)",
        "first = torch.where((first < 0) & ~finite, first, first)",
        ("training/test_train.py::test_weights_that_are_not_finite_are_not_kept",),
    ),
    Mutation(
        "a loss that is not finite goes unnoticed",
        "training/divergence.py",
        "bad = ~torch.isfinite(value) & (self._first_bad < 0)",
        "bad = torch.isnan(value) & ~torch.isfinite(value) & (self._first_bad > 0)",
        ("training/test_train.py::test_a_loss_that_is_not_finite_stops_and_is_final",),
    ),
    Mutation(
        "weights after the last step are not looked at",
        "training/finish.py",
        "for value in (*losses, *model.parameters())):",
        "for value in ()):",
        ("training/test_train.py::test_a_divergence_in_the_last_step_is_one",),
    ),
    Mutation(
        "the last weights are recorded, not the average",
        "training/ema.py",
        "            tensor.copy_(average)",
        "            pass",
        ("promises/test_traps.py::test_what_is_recorded_is_the_average_and_what_goes_on_is_not",),
    ),
    Mutation(
        "training goes on with the averaged weights",
        "training/ema.py",
        "                tensor.copy_(old)",
        "                pass",
        ("training/test_train.py::test_a_preview_leaves_training_as_it_was",),
    ),
    Mutation(
        "a preview leaves the model in evaluation mode",
        "training/ema.py",
        "    model.train(training)",
        "    model.train(False)",
        ("training/test_train.py::test_a_preview_leaves_training_as_it_was",),
    ),
    Mutation(
        "a preview scores the test split",
        "training/preview.py",
        'data.tensors("val", model.device)',
        'data.tensors("test", model.device)',
        ("training/test_train.py::test_test_images_are_not_read_while_a_run_is_trained",),
    ),
    Mutation(
        "a point of the curve reads the test split",
        "training/curve.py",
        '        split="val",',
        '        split="test",',
        ("training/test_curve.py::test_a_curve_leaves_training_and_the_test_images_alone",),
    ),
    Mutation(
        "a point of the curve is of the weights, not of their averages",
        "training/ema.py",
        "    with ema.applied(model), evaluation_mode(model):",
        "    with evaluation_mode(model):",
        (
            "training/test_curve.py::"
            "test_eight_points_of_which_the_last_is_that_of_the_recorded_weights",
        ),
    ),
    Mutation(
        "points of the curve are counted as training",
        "training/metrics_logger.py",
        "        yield\n        self._clock = time.perf_counter()",
        "        yield",
        ("training/test_curve.py::test_a_point_is_no_training_time",),
    ),
    Mutation(
        "samples of weights that are not finite are drawn for the curve",
        "training/curve.py",
        "        self.divergence.check(trainer)\n",
        "",
        (
            "training/test_curve.py::"
            "test_weights_that_are_not_finite_are_noticed_before_samples_are_drawn",
        ),
    ),
    Mutation(
        "the curve ends with its lowest point",
        "records/curve.py",
        "        return self.points[-1]",
        "        return min(self.points, key=lambda point: point.value)",
        ("leaderboard/test_curves.py::test_the_sentence_counts_the_runs_and_the_mean_gain",),
    ),
    Mutation(
        "finalize loses the last batch",
        "data/dealing.py",
        "for start in range(0, len(self.x), self.batch_size):",
        "for start in range(0, len(self.x) - self.batch_size + 1, self.batch_size):",
        ("training/test_train.py::test_finalize_sees_every_training_image_and_they_are_counted",),
    ),
    Mutation(
        "images of finalize are missing from the cost",
        "training/finish.py",
        "finalize_images=passes.images,",
        "finalize_images=0,",
        ("training/test_train.py::test_images_of_finalize_are_part_of_the_cost",),
    ),
    Mutation(
        "seconds of finalize are missing from the cost",
        "training/finish.py",
        "callbacks.metrics.seconds + finalize_seconds,",
        "callbacks.metrics.seconds,",
        ("training/test_train.py::test_seconds_of_finalize_are_part_of_the_cost",),
    ),
    Mutation(
        "initial weights depend on what was drawn before",
        "runs/build.py",
        "        torch.manual_seed(config.seed)",
        "        pass",
        ("training/test_train.py::test_initial_weights_are_a_function_of_the_seed",),
    ),
    # --- configuration -----------------------------------------------------------------------------------------------------
    Mutation(
        "a changed optimization is accepted on an existing run",
        "config/keys.py",
        "MAY_CHANGE = (",
        'MAY_CHANGE = ("optimization",',
        (
            "config/test_config.py::test_every_key_that_decides_the_weights_is_refused_on_resume_and_changes_the_hash",
        ),
    ),
    Mutation(
        "the precision is free",
        "config/keys.py",
        '    "trainer.num_nodes",',
        '    "trainer.num_nodes", "trainer.precision",',
        (
            "config/test_config.py::test_every_key_that_decides_the_weights_is_refused_on_resume_and_changes_the_hash",
        ),
    ),
    Mutation(
        "the hash knows the seed",
        "config/config.py",
        'if not may_change(key) and own_key(key) != "seed"\n',
        "if not may_change(key)\n",
        ("config/test_config.py::test_the_hash_is_of_what_decides_the_weights",),
    ),
    Mutation(
        "a smaller budget is accepted on an existing run",
        "config/keys.py",
        "and isinstance(was, int) and now > was",
        "and isinstance(was, int)",
        ("config/test_config.py::test_what_may_change_on_an_existing_run",),
    ),
    Mutation(
        "classes outside the trusted modules are imported",
        "config/class_paths.py",
        'if not any(value.startswith(module + ".") for module in trusted):',
        "if False:",
        ("config/test_config.py::test_nothing_untrusted_is_imported",),
    ),
    # --- levels and texts ---------------------------------------------------------------------------------------------------
    Mutation(
        "300 levels are stored in 8 bits",
        "spec.py",
        "if levels <= 256:",
        "if levels <= 512:",
        ("promises/test_levels.py::test_the_integer_type_is_the_smallest_that_holds_the_levels",),
    ),
    Mutation(
        "the alphabet of a text is that of its test part too",
        "data/import_text.py",
        "alphabet = np.unique(lines[:first])",
        "alphabet = np.unique(lines)",
        ("data/test_import_text.py::test_what_the_training_part_lacks_is_one_declared_level",),
    ),
    # --- random numbers ----------------------------------------------------------------------------------------------------
    Mutation(
        "nine rounds of Philox",
        "rng.py",
        "for _ in range(10):",
        "for _ in range(9):",
        ("test_rng.py::test_philox_gives_the_known_answers",),
    ),
    Mutation(
        "successive draws are equal",
        "rng.py",
        "        self._drawn += blocks",
        "        self._drawn += 0",
        ("test_rng.py::test_no_two_draws_are_equal",),
    ),
    Mutation(
        "the k-th child is the first one",
        "rng.py",
        "philox((low, high, k, _CHILD), tuple(self._key))",
        "philox((low, high, 0, _CHILD), tuple(self._key))",
        ("test_rng.py::test_no_two_draws_are_equal",),
    ),
    Mutation(
        "the upper half of an index is not looked at",
        "rng.py",
        "index >> 32, 0, _STREAM)",
        "0, 0, _STREAM)",
        (
            "test_rng.py::test_a_stream_does_not_know_its_batch",
            "test_rng.py::test_no_two_draws_are_equal",
        ),
    ),
    Mutation(
        "the upper half of a seed is not looked at",
        "rng.py",
        "(seed & _WORD, seed >> 32))",
        "(seed & _WORD, 0))",
        (
            "data/test_data.py::test_seeds_differ_and_repeat",
            "test_rng.py::test_no_two_draws_are_equal",
        ),
    ),
    # --- data --------------------------------------------------------------------------------------------------------------
    Mutation(
        "every epoch has the order of the first",
        "data/dealing.py",
        "_order(self.seed, int(epoch), images)",
        "_order(self.seed, 0, images)",
        ("data/test_data.py::test_every_epoch_shows_every_image_once_in_an_order_of_its_own",),
    ),
    Mutation(
        "processes get the same images",
        "data/dealing.py",
        "first[:, None] + rank * share + np.arange(share)",
        "first[:, None] + np.arange(share)",
        ("data/test_data.py::test_ranks_partition_every_batch_in_order",),
    ),
    Mutation(
        "noise of training images by their row, not by the image count",
        "data/dealing.py",
        'block_rng = self._streams(counter).split("train")',
        'block_rng = self._streams(block_rows.numpy()).split("train")',
        ("data/test_data.py::test_every_epoch_shows_every_image_once_in_an_order_of_its_own",),
    ),
    Mutation(
        "the key of a decoded copy ignores y",
        "data/stored.py",
        '"levels": self.spec.levels, "y": y}',
        '"levels": self.spec.levels, "y": None}',
        ("data/test_data.py::test_data_sets_that_differ_in_y_alone_have_copies_of_their_own",),
    ),
    Mutation(
        "a churn beside a sampler without one is ignored",
        "formulas/samplers.py",
        'if sampler != "stochastic" and churn != CHURN:',
        "if False:",
        ("models/test_edm.py::test_wrong_options_are_refused_in_one_line",),
    ),
    Mutation(
        "class labels of samples uniform instead of by frequency",
        "data/images.py",
        'return torch.from_numpy(y).to(rng.device)[rng.split("label").integers(len(y))]',
        'return rng.split("label").integers(self.spec.classes)',
        ("data/test_data.py::test_classes_of_samples_have_the_frequencies_of_the_training_split",),
    ),
    Mutation(
        "labels of samples from the stream that makes the image",
        "data/images.py",
        'rng.split("label").integers(len(y))',
        "rng.integers(len(y))",
        ("data/test_data.py::test_drawing_labels_leaves_the_stream_of_the_image_alone",),
    ),
    Mutation(
        "pictures reduced by another filter",
        "data/prepare.py",
        "Image.Resampling.LANCZOS",
        "Image.Resampling.BICUBIC",
        ("data/test_data_sources.py::test_pictures_are_reduced_by_lanczos_and_no_other_filter",),
    ),
    Mutation(
        "the first images are held out, not the last",
        "data/canonical.py",
        "return (x[:cut], y[:cut]), (x[cut:], y[cut:])",
        "return (x[n:], y[n:]), (x[:n], y[:n])",
        ("data/test_data_sources.py::test_the_last_images_of_the_canonical_order_are_held_out",),
    ),
    Mutation(
        "labels do not follow their images into the canonical order",
        "data/canonical.py",
        "return images, y[order].astype(np.int64)",
        "return images, y.astype(np.int64)",
        ("data/test_data_sources.py::test_canonical_order_forgets_the_order_of_the_files",),
    ),
    Mutation(
        "white pixels of binarised images are sometimes black",
        "data/draws.py",
        "part_rng.integers(levels - 1, x.shape[1:]) < part",
        "part_rng.integers(levels, x.shape[1:]) < part",
        ("data/test_data_sources.py::test_white_and_black_are_certain_in_every_draw",),
    ),
    Mutation(
        "dynamic draws are the same in every epoch",
        "data/mnist.py",
        "            return binarise(x, rng)\n        return x",
        "            return binarise(x, Rng(0, range(len(x))))\n        return x",
        ("data/test_data_sources.py::test_the_mean_of_dynamic_draws_is_the_grey",),
    ),
    Mutation(
        "images are flipped upside down",
        "data/draws.py",
        "x.flip(-1)",
        "x.flip(-2)",
        ("data/test_data_sources.py::test_flips_are_functions_of_the_image_count",),
    ),
    Mutation(
        "the noise of points is half as wide",
        "data/points2d.py",
        "(b - 2 * math.sin(t)) ** 2, 0.2)",
        "(b - 2 * math.sin(t)) ** 2, 0.1)",
        ("data/test_data.py::test_shapes_are_those_of_the_docstring",),
    ),
    # --- formulas ----------------------------------------------------------------------------------------------------------
    Mutation(
        "bits per image, not per dimension",
        "formulas/pixels.py",
        "return -log_prob / (dims * math.log(2))",
        "return -log_prob / math.log(2)",
        ("formulas/test_likelihood.py::test_bits_per_dim",),
    ),
    Mutation(
        "the outer bins end where the others do",
        "formulas/likelihood.py",
        "return torch.where(x == 0, lowest, torch.where(x == levels - 1, highest, inner))",
        "return torch.where(x == 0, lowest, inner)",
        ("formulas/test_likelihood.py::test_masses_of_the_bins_add_up_to_one",),
    ),
    Mutation(
        "bins are twice as wide",
        "formulas/likelihood.py",
        "    half = 1 / (levels - 1)\n",
        "    half = 2 / (levels - 1)\n",
        ("formulas/test_likelihood.py::test_masses_of_the_bins_add_up_to_one",),
    ),
    Mutation(
        "the sum of K weights, not their mean",
        "formulas/likelihood.py",
        "return (total - math.log(K)).to(first.dtype)",
        "return total.to(first.dtype)",
        ("contract/test_likelihood_kinds.py::test_weights_are_averaged_and_exactly_K_of_them",),
    ),
    Mutation(
        "weights are added up in float32",
        "formulas/likelihood.py",
        "torch.logaddexp(total.double(), log_w(k).double())",
        "torch.logaddexp(total, log_w(k))",
        ("contract/test_likelihood_kinds.py::test_thousands_of_small_weights_in_float32",),
    ),
    Mutation(
        "the KL the other way round",
        "formulas/likelihood.py",
        "        log_s_p\n        - log_s_q\n",
        "        log_s_q\n        - log_s_p\n",
        ("formulas/test_likelihood.py::test_gaussian_kl_and_density_are_those_of_torch",),
    ),
    Mutation(
        "dequantised noise reaches into the neighbouring cell",
        "formulas/pixels.py",
        "u.clamp(rounding, 1 - rounding)",
        "u",
        ("formulas/test_likelihood.py::test_dequantised_pixels_stay_in_their_cells",),
    ),
    Mutation(
        "Heun's step by its predictor",
        "formulas/solvers.py",
        "return x + h / 2 * (k_1 + k_2)",
        "return x + h * k_2",
        ("formulas/test_solvers.py::test_order_of_convergence_is_the_declared_one",),
    ),
    Mutation(
        "times denser towards 1",
        "formulas/solvers.py",
        "return [(i / steps) ** power for i in range(steps + 1)]",
        "return [1 - (1 - i / steps) ** power for i in range(steps + 1)]",
        ("formulas/test_solvers.py::test_grid_is_denser_towards_zero",),
    ),
    Mutation(
        "every proposal of annealing is accepted",
        "formulas/ais.py",
        "accepted = rng.uniform().log() < before - _energy(beta, new_e, new_value, r)",
        "accepted = rng.uniform().log() < 1e9 + 0 * (before - _energy(beta, new_e, new_value, r))",
        (
            "contract/test_likelihood_kinds.py::test_a_transition_of_long_steps_leaves_its_density_invariant",
        ),
    ),
    Mutation(
        "annealing weighs by the value after the transition",
        "formulas/ais.py",
        "total = total + (beta[t + 1] - beta[t]) * value",
        "total = total + (beta[t + 1] - beta[t]) * value * 0.9",
        (
            "contract/test_likelihood_kinds.py::test_annealing_finds_the_evidence_of_a_linear_gaussian_model",
        ),
    ),
    # --- models ------------------------------------------------------------------------------------------------------------
    Mutation(
        "the VAE's scale ends at e^-3",
        "formulas/likelihood.py",
        "log_s.clamp(min=-7.0, max=5.0)",
        "log_s.clamp(min=-3.0, max=5.0)",
        ("models/test_vae.py::test_scales_far_narrower_than_a_bin_are_kept",),
    ),
    Mutation(
        "beta in the evaluated bound",
        "models/vae/vae.py",
        '"kl": sum_dims(kl)}',
        '"kl": self.beta * sum_dims(kl)}',
        (
            "models/test_vae.py::test_beta_is_for_training_alone_and_annealed_weights_are_an_estimate",
        ),
    ),
    Mutation(
        "importance weights without the prior",
        "models/vae/vae.py",
        "log_ratio(log_prior, log_q())",
        "log_ratio(0 * log_prior, log_q())",
        (
            "models/test_vae.py::test_importance_weights_are_the_likelihood_where_the_encoder_is_the_posterior",
        ),
    ),
    Mutation(
        "the decoder is not told the label",
        "models/vae/vae.py",
        "theta = self.decoder(self.latent.draw(rng), self.condition(y))",
        "theta = self.decoder(self.latent.draw(rng), self.condition(None if y is None else 0 * y))",
        ("models/test_vae.py::test_each_label_gets_its_own_images",),
    ),
    Mutation(
        "samples of the Gaussian decoder have half of its scale",
        "formulas/pixel_laws.py",
        "math.sqrt(2) * torch.erfinv(2 * u - 1)",
        "math.sqrt(0.5) * torch.erfinv(2 * u - 1)",
        ("models/test_vae.py::test_samples_have_the_model_s_frequencies",),
    ),
    Mutation(
        "annealed weights are called a bound",
        "models/vae/vae.py",
        '        return "estimate"',
        '        return "bound"',
        (
            "models/test_vae.py::test_beta_is_for_training_alone_and_annealed_weights_are_an_estimate",
        ),
    ),
    Mutation(
        "the squared error of one fixed scale counts twice",
        "formulas/pixel_laws.py",
        "gaussian_log_density(v, *self.location_and_scale(theta)) + width",
        "2 * gaussian_log_density(v, *self.location_and_scale(theta)) + width",
        (
            "models/test_vae.py::test_the_loss_of_one_fixed_scale_is_the_autoencoders_a_constant_and_the_kl",
        ),
    ),
    Mutation(
        "free bits of the mean over the latents",
        "models/vae/vae.py",
        "clamp(min=least).sum()",
        "clamp(min=least).mean()",
        ("models/test_vae.py::test_free_bits_are_not_pushed_below_their_number",),
    ),
    Mutation(
        "the divergence by samples has its sign turned",
        "models/vae/vae.py",
        "kl = -torch.stack(ratios).mean(0)",
        "kl = torch.stack(ratios).mean(0)",
        ("models/test_vae.py::test_every_variant_scores_the_integral_over_its_prior",),
    ),
    Mutation(
        "a step of IAF without its determinant",
        "nets/posteriors.py",
        "log_q = log_q - F.logsigmoid(g)",
        "log_q = log_q - 0 * F.logsigmoid(g)",
        ("nets/test_posteriors.py::test_log_q_is_that_of_the_jacobian_of_autograd",),
    ),
    Mutation(
        "an entry of the masked network of reals sees itself",
        "nets/masked_mlp.py",
        "MaskedLinear(m[:, None] > entry)",
        "MaskedLinear(m[:, None] >= entry)",
        (
            "nets/test_posteriors.py::test_an_entry_of_the_masked_network_sees_earlier_ones_and_the_condition_alone",
        ),
    ),
    Mutation(
        "a planar step without the slope of tanh in its determinant",
        "nets/posteriors.py",
        "torch.log1p((1 - t**2) * (u * w)",
        "torch.log1p((1 - t) * (u * w)",
        ("nets/test_posteriors.py::test_log_q_is_that_of_the_jacobian_of_autograd",),
    ),
    Mutation(
        "a VampPrior whose pseudo-inputs weigh one each",
        "nets/priors.py",
        "mean.new_full((len(mean),), -math.log(len(mean)))",
        "mean.new_full((len(mean),), 0.0)",
        ("nets/test_learnt_priors.py::test_a_density_integrates_to_one",),
    ),
    Mutation(
        "a flow prior without its determinant",
        "nets/priors.py",
        "(sum_dims(gaussian_log_density(eps, zero, zero)) + log_det)[:, None]",
        "(sum_dims(gaussian_log_density(eps, zero, zero)) - log_det)[:, None]",
        ("nets/test_learnt_priors.py::test_a_density_integrates_to_one",),
    ),
    Mutation(
        "draws of a mixture without its weights",
        "formulas/mixtures.py",
        "cdf = self.log_pi.exp().cumsum(0)",
        "cdf = torch.ones_like(self.log_pi).div(len(self.log_pi)).cumsum(0)",
        ("nets/test_learnt_priors.py::test_draws_have_the_density",),
    ),
    Mutation(
        "active are latents of a variance above a tenth",
        "metrics/active_units.py",
        "_ACTIVE = 0.01",
        "_ACTIVE = 0.1",
        (
            "metrics/test_active_units.py::test_active_are_latents_whose_mean_varies_by_more_than_a_hundredth",
        ),
    ),
    Mutation(
        "the discriminator's steps move the generator too",
        "models/gan/gan.py",
        "list(self.D.parameters()),",
        "list(self.parameters()),",
        ("models/test_gan.py::test_the_players_partition_the_parameters_and_only_move_their_own",),
    ),
    Mutation(
        "the critic takes one step per step of the generator",
        "models/gan/gan.py",
        "                self.critic_steps,\n",
        "                1,\n",
        ("models/test_gan.py::test_the_players_partition_the_parameters_and_only_move_their_own",),
    ),
    Mutation(
        "one epsilon of the penalty for the whole batch",
        "models/gan/gan.py",
        'epsilon = rng.split("epsilon").uniform((1, 1, 1))',
        'epsilon = rng.split("epsilon").uniform((1, 1, 1))[:1]',
        (
            "models/test_gan.py::test_the_penalty_is_taken_on_lines_between_real_and_generated_images",
        ),
    ),
    Mutation(
        "the discriminator sees real images on a grid",
        "models/gan/gan.py",
        "real_images = dequantised(x, self.spec.levels, rng)",
        "real_images = self.to_real(x)",
        (
            "models/test_gan.py::test_the_discriminator_sees_dequantised_pixels_and_generated_images_of_one_range",
        ),
    ),
    Mutation(
        "the discriminator of pairs sees one image of the pair",
        "models/gan/pix2pix.py",
        "self.D(torch.cat((x, self._image(y)), dim=1))",
        "self.D(torch.cat((x, torch.zeros_like(self._image(y))), dim=1))",
        ("models/test_pix2pix.py::test_the_discriminator_sees_pairs",),
    ),
    Mutation(
        "statistics of the generator are not calibrated",
        "models/gan/gan.py",
        "            calibrate(self.G, z, self.condition(y))",
        "            pass",
        ("models/test_gan.py::test_finalize_makes_evaluation_reproduce_training_on_its_latents",),
    ),
    Mutation(
        "calibration by classes that are uniform",
        "models/gan/gan.py",
        "return y[rng.integers(len(y), (_CALIBRATION,))[0]]",
        "return rng.integers(int(y.max()) + 1, (_CALIBRATION,))[0]",
        ("models/test_gan.py::test_finalize_draws_labels_as_often_as_the_batches_have_them",),
    ),
    Mutation(
        "the unbiased variance in batch normalisation's statistics",
        "nets/norm.py",
        "x.var(dims, correction=0)",
        "x.var(dims, correction=1)",
        ("nets/test_nets.py::test_calibration_makes_evaluation_reproduce_training_on_its_batch",),
    ),
    Mutation(
        "MADE's first mask lets a pixel see itself",
        "nets/made.py",
        "(m[:, None] > pixel)",
        "(m[:, None] >= pixel)",
        ("models/test_autoregressive.py::test_probabilities_of_all_images_add_up_to_one",),
    ),
    Mutation(
        "MADE's hidden mask is strict",
        "nets/made.py",
        "MaskedLinear(m[:, None] >= m)",
        "MaskedLinear(m[:, None] > m)",
        ("models/test_autoregressive.py::test_units_of_made_see_those_of_their_own_number",),
    ),
    Mutation(
        "MADE's last mask is strict",
        "nets/made.py",
        "known = pixel[:, None] >= m",
        "known = pixel[:, None] > m",
        (
            "models/test_autoregressive.py::test_changing_a_pixel_changes_the_logits_of_all_later_positions_and_no_others",
        ),
    ),
    Mutation(
        "the transformer sees later pixels",
        "nets/transformer.py",
        "is_causal=True",
        "is_causal=False",
        (
            "models/test_autoregressive.py::test_changing_a_pixel_changes_the_logits_of_all_later_positions_and_no_others",
        ),
    ),
    Mutation(
        "dropout does not keep the mean",
        "nets/dropout.py",
        "h * kept * (256 / (256 - dropped))",
        "h * kept",
        ("nets/test_transformer.py::test_dropout_keeps_the_mean",),
    ),
    Mutation(
        "autoregressive samples are one level too low",
        "nets/autoregressive.py",
        "(cdf < u[:, i, None])",
        "(cdf[:, 1:] < u[:, i, None])",
        ("models/test_autoregressive.py::test_frequencies_of_samples_are_the_probabilities",),
    ),
    Mutation(
        "a code length without that of the codes",
        "models/vae/vqvae.py",
        "self.latent.dims * math.log(self.K)",
        "0 * math.log(self.K)",
        ("models/test_vqvae.py::test_code_length_is_a_bound_of_the_sum_over_all_codes",),
    ),
    Mutation(
        "the commitment moves the codebook too",
        "models/vae/vqvae.py",
        "sum_dims((z_e - z_q.detach()) ** 2)",
        "sum_dims((z_e - z_q) ** 2)",
        ("models/test_vqvae.py::test_gradients_go_straight_through_the_codes",),
    ),
    Mutation(
        "autoregressive models do not see the label",
        "models/autoregressive/autoregressive.py",
        "chain_rule(self.net, x, self.condition(y), self.dtype)",
        "chain_rule(self.net, x, self.condition(None if y is None else 0 * y), self.dtype)",
        (
            "models/test_autoregressive.py::test_labels_and_streams_leave_the_likelihood_alone",
            "models/test_autoregressive.py::test_each_label_gets_its_own_images",
        ),
    ),
    Mutation(
        "a coupling without its log-determinant",
        "nets/bijections/coupling.py",
        "return x * torch.exp(s) + t, sum_dims(s)",
        "return x * torch.exp(s) + t, 0 * sum_dims(s)",
        ("models/test_flow.py::test_log_det_is_that_of_the_jacobian",),
    ),
    Mutation(
        "a log-determinant of the wrong sign",
        "nets/bijections/coupling.py",
        "return x * torch.exp(s) + t, sum_dims(s)",
        "return x * torch.exp(s) + t, -sum_dims(s)",
        ("models/test_flow.py::test_log_det_is_that_of_the_jacobian",),
    ),
    Mutation(
        "an inverse that is none",
        "nets/bijections/coupling.py",
        "return (y - t) * torch.exp(-s)",
        "return y * torch.exp(-s) - t",
        ("models/test_flow.py::test_inverse",),
    ),
    Mutation(
        "a logit without its Jacobian",
        "nets/bijections/coupling.py",
        "sum_dims(math.log(1 - 2 * self.alpha) - log_p - log_q)",
        "sum_dims(-log_p - log_q)",
        ("models/test_flow.py::test_log_det_is_that_of_the_jacobian",),
    ),
    Mutation(
        "a scaling of NICE without its Jacobian",
        "nets/bijections/coupling.py",
        "self.log_scale.sum().expand(len(x))",
        "x.new_zeros(len(x))",
        ("models/test_flow.py::test_nice_inverse_and_log_det",),
    ),
    Mutation(
        "no volume of a cell",
        "models/dequantised.py",
        "cell = self.spec.dims * math.log(self.spec.levels / (high - low))",
        "cell = 0.0",
        ("models/test_flow.py::test_many_noises_reach_the_probability",),
    ),
    Mutation(
        "variational dequantisation without its density",
        "models/dequantised.py",
        "return -torch.stack(list(density(v, k).values())).sum(0) - log_q",
        "return -torch.stack(list(density(v, k).values())).sum(0)",
        (
            "contract/test_likelihood_kinds.py::test_every_variational_noise_is_weighed_by_its_density",
        ),
    ),
    Mutation(
        "one noise of dequantisation for all K",
        "models/dequantised.py",
        'rng = rng.split("dequantise", k)',
        'rng = rng.split("dequantise", 0)',
        ("models/test_flow.py::test_more_noises_are_a_tighter_bound",),
    ),
    Mutation(
        "K noises of flow matching with one probe",
        "models/continuous_flow.py",
        'rng.split("trace", k)',
        'rng.split("trace", 0)',
        ("models/test_flow_matching.py::test_every_noise_has_its_own_probes",),
    ),
    Mutation(
        "the divergence of the wrong sign",
        "models/continuous_flow.py",
        'density_parts(v, y, vectors, times, solver, tolerance)\n            return {"prior": -prior, "divergence": -change}',
        'density_parts(v, y, vectors, times, solver, tolerance)\n            return {"prior": -prior, "divergence": change}',
        ("models/test_flow_matching.py::test_log_prob_of_a_gaussian_is_the_mass_of_the_cell",),
    ),
    Mutation(
        "random probes are not scaled by their number",
        "formulas/solvers.py",
        "/ math.sqrt(probes)",
        "/ 1",
        ("models/test_flow_matching.py::test_divergence_is_the_trace_of_the_jacobian",),
    ),
    Mutation(
        "flow matching learns the field at another time",
        "models/flow_matching/flow_matching.py",
        "v = self.velocity(x_t, t, self.condition(y))",
        "v = self.velocity(x_t, 1 - t, self.condition(y))",
        ("models/test_flow_matching.py::test_the_field_is_learnt_at_the_time_of_its_image",),
    ),
    Mutation(
        "flow matching begins at unit noise on every path",
        "models/flow_matching/flow_matching.py",
        "x_1 = self.noise_scale * x",
        "x_1 = 1.0 * x",
        ("models/test_flow_matching.py::test_another_path_has_the_same_ends",),
    ),
    Mutation(
        "EDM's denoiser sees the image in the scale of the path",
        "nets/denoiser.py",
        "return self(x_t / level.alpha, sigma, y)",
        "return self(x_t, sigma, y)",
        ("models/test_edm.py::test_another_schedule_has_the_same_samples_and_densities",),
    ),
    Mutation(
        "the last noise of DDPM is added to the image",
        "formulas/samplers.py",
        "v if s.sigma > 0 else 0.0, rng",
        "v, rng",
        ("models/test_diffusion.py::test_the_last_ancestral_step_shows_the_mean",),
    ),
    Mutation(
        "the clip also at t = 1",
        "models/diffusion/ddpm.py",
        "x0_hat = torch.where(first, x0_hat, pull_inside(x0_hat))",
        "x0_hat = pull_inside(x0_hat)",
        ("models/test_diffusion.py::test_a_mean_beyond_the_last_bin_is_right_for_outer_pixels",),
    ),
    Mutation(
        "times of training begin at t = 0",
        "models/diffusion/ddpm.py",
        "t = 1 + rng.integers(self.T)",
        "t = rng.integers(self.T)",
        ("models/test_diffusion.py::test_losses_are_what_they_estimate",),
    ),
    Mutation(
        "one noise for all times of the bound",
        "formulas/time_sums.py",
        'rng.split("x_t", int(k))',
        'rng.split("x_t", 0)',
        ("models/test_diffusion.py::test_every_term_has_its_own_noise",),
    ),
    Mutation(
        "few times are not weighted by how often they are drawn",
        "formulas/time_sums.py",
        "* (1 / shares[t])",
        "* (len(shares) - 2)",
        ("models/test_diffusion.py::test_fewer_timesteps_are_unbiased",),
    ),
    Mutation(
        "guidance of the wrong sign",
        "models/diffusion/ddpm.py",
        "eps_hat + guidance * (eps_hat - self.predict_noise(x_t, t))",
        "eps_hat - guidance * (eps_hat - self.predict_noise(x_t, t))",
        ("models/test_diffusion.py::test_guidance_is_its_formula",),
    ),
    Mutation(
        "labels are kept where they should be dropped",
        "models/diffusion/ddpm.py",
        "(rng.uniform((1,)) >= self.label_dropout)",
        "(rng.uniform((1,)) < self.label_dropout)",
        ("models/test_diffusion.py::test_training_drops_its_share_of_labels",),
    ),
    Mutation(
        "the cosine schedule without its offset",
        "formulas/noise.py",
        "return (t + _OFFSET) / (1 + _OFFSET) * (math.pi / 2)",
        "return t * (math.pi / 2)",
        ("models/test_diffusion.py::test_schedules_agree_with_diffusers",),
    ),
    Mutation(
        "the floor of a mixture is not added to its variances",
        "formulas/factor_analysers.py",
        'psi = ((sums["vv"] - (both * cross).sum(2)) / n[:, None]).clamp(min=0) + floor',
        'psi = ((sums["vv"] - (both * cross).sum(2)) / n[:, None]).clamp(min=1e-6)',
        ("models/test_gmm.py::test_the_floor_is_added_to_every_variance",),
    ),
    Mutation(
        "the floor of a diagonal mixture is not added to its variances",
        "formulas/gaussians.py",
        '(sums["vv"] / n - mean**2).clamp(min=0) + floor',
        '(sums["vv"] / n - mean**2).clamp(min=floor)',
        ("models/test_gmm.py::test_the_floor_is_added_to_every_variance",),
    ),
    Mutation(
        "weights of a mixture are not learnt",
        "formulas/mixtures.py",
        'logits.copy_(totals["n"].clamp(min=1e-6).log()',
        'logits.copy_((0 * totals["n"]).clamp(min=1e-6).log()',
        ("models/test_gmm.py::test_em_is_that_of_scikit_learn",),
    ),
    Mutation(
        "codes of an autoencoder are drawn of equal weights",
        "formulas/mixtures.py",
        "cdf = logits.double().softmax(1).cumsum(1)[group]",
        "cdf = (0 * logits).double().softmax(1).cumsum(1)[group]",
        (
            "models/test_autoencoder.py::test_draws_of_the_mixture_have_its_moments_and_its_quantiles",
        ),
    ),
    Mutation(
        "the penalty of codes is not halved",
        "models/vae/autoencoder.py",
        "size = z.square().sum(1).mean() / 2",
        "size = z.square().sum(1).mean()",
        ("models/test_autoencoder.py::test_the_penalties_are_those_of_the_paper",),
    ),
    Mutation(
        "denoising with noise twice as large",
        "models/vae/autoencoder.py",
        "noisy = v + self.noise * rng",
        "noisy = v + 2 * self.noise * rng",
        (
            "models/test_autoencoder.py::test_a_linear_denoiser_is_wieners_filter_and_its_residual_the_score",
        ),
    ),
    Mutation(
        "a denoising autoencoder learns the noisy image",
        "models/vae/autoencoder.py",
        "error = (v - self.D(z))",
        "error = (noisy - self.D(z))",
        (
            "models/test_autoencoder.py::test_a_linear_denoiser_is_wieners_filter_and_its_residual_the_score",
        ),
    ),
    Mutation(
        "the noise of probabilistic PCA is the sum of the variances that are left out",
        "models/classical/pca.py",
        "lambdas[d:].mean()",
        "lambdas[d:].sum()",
        ("models/test_pca.py::test_no_other_plane_and_no_other_noise_is_likelier",),
    ),
    Mutation(
        "the codes of PCA are not drawn towards 0",
        "models/classical/pca.py",
        "gain = self._signal().sqrt() / self.lambdas.double()",
        "gain = self._signal().rsqrt()",
        ("models/test_pca.py::test_the_probabilistic_code_is_the_mean_of_the_posterior",),
    ),
    Mutation(
        "W has the variances of the noise in it",
        "models/classical/pca.py",
        "return (self.lambdas.double() - self.variance.double()).clamp(min=0)",
        "return self.lambdas.double()",
        ("models/test_pca.py::test_no_other_plane_and_no_other_noise_is_likelier",),
    ),
    Mutation(
        "reconstructions are compared in grey levels",
        "metrics/reconstruction.py",
        "apart = to_real(x, levels, x.dtype) - to_real(back, levels, x.dtype)",
        "apart = x - back",
        (
            "metrics/test_reconstruction.py::test_black_for_white_is_four_and_one_level_of_seventeen_an_eighth_squared",
        ),
    ),
    Mutation(
        "classes of a mixture are equally frequent",
        "models/classical/gmm.py",
        "self.log_prior.copy_((counts / counts.sum()).log())",
        "pass",
        ("models/test_gmm.py::test_p_of_x_and_y_is_p_of_y_times_p_of_x_given_y",),
    ),
    Mutation(
        "a mixture of Bernoullis without smoothing of ones",
        "models/classical/bernoulli_mixture.py",
        "(ones + a).log() - (n.view(-1, 1) - ones + a).log()",
        "(ones + 1e-9).log() - (n.view(-1, 1) - ones + a).log()",
        ("models/test_bernoulli_mixture.py::test_one_component_is_the_smoothed_frequencies",),
    ),
    # --- metrics -----------------------------------------------------------------------------------------------------------
    Mutation(
        "FID without the distance of the means",
        "metrics/frechet.py",
        "(m_1 - m_2).square().sum() + C_1.trace()",
        "C_1.trace()",
        ("metrics/test_metrics.py::test_frechet_distance_equals_torch_fidelity",),
    ),
    Mutation(
        "FID by the biased covariance",
        "metrics/frechet.py",
        "return mean, (h - mean).T @ (h - mean) / (len(h) - 1)",
        "return mean, (h - mean).T @ (h - mean) / len(h)",
        ("metrics/test_metrics.py::test_frechet_distance_equals_torch_fidelity",),
    ),
    Mutation(
        "FID of float32 features keeps their type",
        "metrics/frechet.py",
        "    h = h.double()\n    mean",
        "    h = h.float()\n    mean",
        ("promises/test_traps.py::test_float32_features_far_from_the_origin_keep_their_distance",),
    ),
    Mutation(
        "KID with the pairs of an image with itself",
        "metrics/mmd.py",
        "xx.sum() / (m * (m - 1))",
        "xx.sum() / (m * m)",
        (
            "metrics/test_metrics.py::test_kernel_distance_equals_torch_fidelity_on_one_subset_of_everything",
        ),
    ),
    Mutation(
        "KID's kernel of second degree",
        "metrics/kid.py",
        ".add_(1).pow_(3)",
        ".add_(1).pow_(2)",
        (
            "metrics/test_metrics.py::test_kernel_distance_equals_torch_fidelity_on_one_subset_of_everything",
        ),
    ),
    Mutation(
        "MIND without its factor 3 F",
        "metrics/mind.py",
        "return 3 * features * float(",
        "return 3 * float(",
        ("metrics/test_mind.py::test_a_shift_costs_three_times_its_square",),
    ),
    Mutation(
        "the quantiles of a set begin one image late",
        "metrics/mind.py",
        "q[:, (ends - 1) // n]",
        "q[:, (ends // n).clamp(max=m - 1)]",
        ("metrics/test_mind.py::test_distance_is_that_of_the_best_plan_along_every_direction",),
    ),
    Mutation(
        "directions of MIND from a cube",
        "metrics/mind.py",
        "rng.normal((features,))",
        "rng.uniform((features,))",
        ("metrics/test_mind.py::test_every_direction_is_a_unit_vector_and_all_are_as_likely",),
    ),
    Mutation(
        "the error of KID of one set alone",
        "metrics/mmd.py",
        "(_jackknife(xx, xy, n) + _jackknife(yy, yx, m)).sqrt()",
        "_jackknife(xx, xy, n).sqrt()",
        ("metrics/test_metrics.py::test_kernel_distance_error_is_the_jackknife_done_one_by_one",),
    ),
    Mutation(
        "splits of the inception score overlap",
        "metrics/inception_score.py",
        "k * self.images // self.splits for k",
        "k * (self.images // self.splits) for k",
        ("metrics/test_metrics.py::test_inception_score_equals_torch_fidelity_in_any_order",),
    ),
    Mutation(
        "the error of the inception score is its spread",
        "metrics/inception_score.py",
        "spread.item() / (splits - 1) ** 0.5",
        "spread.item()",
        ("metrics/test_metrics.py::test_inception_score_equals_torch_fidelity_on_its_own_shuffle",),
    ),
    Mutation(
        "an image is its own nearest neighbour",
        "metrics/neighbours.py",
        "squared[torch.arange(len(rows), device=rows.device), rows] = torch.inf",
        "pass",
        (
            "metrics/test_metrics.py::test_precision_recall_equals_torch_fidelity",
            "metrics/test_metrics_bias.py::test_neighbours_are_those_of_all_distances",
        ),
    ),
    Mutation(
        "precision and recall are exchanged",
        "metrics/precision_recall.py",
        "balls = samples.once(balls_of_reference)\n"
        "    return samples.estimate(lambda a, b: share(covered(balls, 3, b, a)), least=4)",
        "balls = samples.once(balls_of_generated)\n"
        "    return samples.estimate(lambda a, b: share(covered(balls, 3, a, b)), least=4)",
        ("metrics/test_metrics.py::test_one_pass_gives_every_metric",),
    ),
    Mutation(
        "the radius of recall is that of the fifth neighbour",
        "metrics/precision_recall.py",
        "share(covered(balls, 3, a, b))",
        "share(covered(balls, 5, a, b))",
        ("metrics/test_metrics.py::test_one_pass_gives_every_metric",),
    ),
    Mutation(
        "density over k = 3",
        "metrics/precision_recall.py",
        "density(balls, 5, b, a)",
        "density(balls, 3, b, a)",
        ("metrics/test_metrics.py::test_one_pass_gives_every_metric",),
    ),
    Mutation(
        "the mean recall of the classes, not the worst",
        "metrics/precision_recall.py",
        "recall(a, b).nan_to_num(torch.inf).amin().item()",
        "recall(a, b).nanmean().item()",
        (
            "metrics/test_metrics.py::test_one_pass_gives_every_metric",
            "metrics/test_reference.py::test_held_out_images_are_fresh_copies_are_not_and_a_lost_class_is_seen",
        ),
    ),
    Mutation(
        "balls of coverage are closed",
        "metrics/precision_recall.py",
        "centre, _ = balls.inside(k, centres, points, closed=False)",
        "centre, _ = balls.inside(k, centres, points, closed=True)",
        ("metrics/test_metrics.py::test_precision_and_recall_of_two_images_and_of_constants",),
    ),
    Mutation(
        "ties count in full in memorisation",
        "metrics/memorisation.py",
        "before + equal * (k - nearer) / (tied + 1)",
        "before + equal",
        ("metrics/test_metrics_bias.py::test_ties_keep_the_neutral_value",),
    ),
    Mutation(
        "the energy distance of one block of rows",
        "metrics/energy.py",
        "            for rows in a.split(block)\n",
        "            for rows in a.split(block)[:1]\n",
        ("metrics/test_metrics.py::test_energy_distance_is_the_formula_over_pairs",),
    ),
    Mutation(
        "the half of a set with replacement",
        "metrics/resampling.py",
        "chosen = rng.bits((n,)).argsort(dim=1, stable=True)[:, : n // 2]",
        "chosen = rng.integers(n, (n // 2,))",
        ("metrics/test_metrics_errors.py::test_halves_are_halves_and_every_image_is_as_likely",),
    ),
    Mutation(
        "both sets are halved by the same draw",
        "metrics/resampling.py",
        'rng.split("half", i)',
        'rng.split("half", 0)',
        ("metrics/test_metrics_errors.py::test_halves_of_two_sets_are_drawn_apart",),
    ),
    Mutation(
        "FID at infinity by a line in N",
        "metrics/fid_infinity.py",
        "intercept(1 / sizes.double(),",
        "intercept(sizes.double(),",
        ("metrics/test_metrics_bias.py::test_fid_at_infinity_is_without_the_bias_of_fid",),
    ),
    Mutation(
        "modes count from half of their share",
        "metrics/points.py",
        "_SHARE = 0.1\n",
        "_SHARE = 0.5\n",
        ("metrics/test_points.py::test_a_mode_counts_from_a_tenth_of_its_share",),
    ),
    Mutation(
        "a class counts as a mode from two images on",
        "metrics/class_modes.py",
        "return int((counts > 0).sum())",
        "return int((counts > 1).sum())",
        ("metrics/test_class_modes.py::test_kl_of_shares_to_equal_ones_is_that_of_the_sum",),
    ),
    Mutation(
        "combinations of the channels' classes are counted from the last channel",
        "metrics/channelwise.py",
        "joint = (joint[:, :, None] + log_p[:, c, None, :]).flatten(1)",
        "joint = (joint[:, None, :] + log_p[:, c, :, None]).flatten(1)",
        ("metrics/test_class_modes.py::test_scores_and_features_are_those_of_single_digits",),
    ),
    Mutation(
        "KL(model || data) in place of KL(data || model)",
        "metrics/points.py",
        "return float((p * (np.log(p) - log_q[inside])).sum())",
        "return float((np.exp(log_q[inside]) * (log_q[inside] - np.log(p))).sum())",
        ("metrics/test_points.py::test_divergence_is_the_sum_over_cells_with_mass",),
    ),
    Mutation(
        "features of the reference come back in the order of processes",
        "metrics/features.py",
        "return Features(features[order], logits[order])",
        "return Features(features, logits)",
        ("metrics/test_metrics.py::test_bank_returns_rows_in_index_order_whatever_the_batches",),
    ),
    Mutation(
        "latency is the fastest call",
        "metrics/speed.py",
        '"latency_seconds": statistics.median(latency.seconds),',
        '"latency_seconds": min(latency.seconds),',
        ("metrics/test_speed.py::test_latency_and_speed_are_medians",),
    ),
    Mutation(
        "images per second by the fastest call",
        "metrics/timing.py",
        "        return statistics.median(self.seconds)",
        "        return min(self.seconds)",
        ("metrics/test_speed.py::test_latency_and_speed_are_medians",),
    ),
    Mutation(
        "a warm-up is timed",
        "metrics/speed.py",
        "        del timing.seconds[0]",
        "        pass",
        ("metrics/test_speed.py::test_the_first_call_at_a_batch_size_is_a_warm_up",),
    ),
    # --- likelihoods and evaluation ----------------------------------------------------------------------------------------
    Mutation(
        "the standard error of a likelihood is the spread of the images",
        "metrics/likelihood.py",
        "stderr=float(means.std()) / math.sqrt(len(means)) * bits",
        "stderr=float(means.std()) * bits",
        ("evaluation/test_evaluate.py::test_its_numbers_are_those_of_the_model",),
    ),
    Mutation(
        "repeats have the same noise",
        "metrics/likelihood.py",
        '.split("log_prob", repeat)',
        '.split("log_prob", 0)',
        (
            "contract/test_likelihood_kinds.py::test_repeats_are_other_noise_and_their_errors_are_what_they_say",
        ),
    ),
    Mutation(
        "images of a padded chunk are counted twice",
        "metrics/likelihood.py",
        "{name: values[: len(x) - first].cpu().double()",
        "{name: values.cpu().double()",
        ("contract/test_likelihood_kinds.py::test_the_chunk_changes_nothing",),
    ),
    Mutation(
        "a likelihood that is no number is recorded",
        "metrics/likelihood.py",
        "bad = (~torch.isfinite(nats)).nonzero()",
        "bad = torch.isnan(nats).nonzero()",
        ("evaluation/test_evaluate.py::test_a_probability_that_is_not_finite_names_its_image",),
    ),
    Mutation(
        "samples by the training seed",
        "evaluation/draw.py",
        "protocol.evaluation_seed,",
        "loaded.config.seed,",
        ("evaluation/test_evaluate.py::test_every_training_is_evaluated_by_a_seed_of_its_own",),
    ),
    Mutation(
        "the likelihood of the validation split",
        "metrics/likelihood.py",
        "x, y = data.tensors(protocol.split, device)",
        'x, y = data.tensors("val", device)',
        ("evaluation/test_evaluate.py::test_its_numbers_are_those_of_the_model",),
    ),
    Mutation(
        "features of the training split as the reference",
        "evaluation/reference.py",
        'fields["reference"] = features(protocol.split)',
        'fields["reference"] = features("train")',
        ("evaluation/test_evaluate.py::test_its_numbers_are_those_of_the_model",),
    ),
    Mutation(
        "a sample depends on its chunk",
        "evaluation/draw.py",
        "Rng.of_samples(seed, indices, model.dtype, device)",
        "Rng.of_samples(seed, range(len(indices)), model.dtype, device)",
        ("evaluation/test_evaluate.py::test_samples_do_not_depend_on_the_chunk",),
    ),
    Mutation(
        "foreign samples are not permuted",
        "evaluation/foreign.py",
        "images[content_order(images.numpy(), evaluation_seed)[: protocol.images]]",
        "images[: protocol.images]",
        (
            "evaluation/test_foreign.py::test_which_of_too_many_images_are_scored_depends_on_neither_order_nor_chance",
        ),
    ),
    Mutation(
        "scores depend on the order of the images",
        "evaluation/score.py",
        "images = images[order]",
        "images = images[:]",
        ("evaluation/test_foreign.py::test_scores_of_images_are_those_of_their_set",),
    ),
    Mutation(
        "samples are compared with the true images of other pairs",
        "evaluation/score.py",
        "truth[order]",
        "truth",
        (
            "evaluation/test_pairs_of_evaluation.py::test_samples_are_compared_with_the_x_of_their_own_y",
        ),
    ),
    # --- records and tables ------------------------------------------------------------------------------------------------
    Mutation(
        "a record is overwritten",
        "records/store.py",
        "    if not path.exists():\n        write_once(path, record.to_json())",
        "    path.parent.mkdir(parents=True, exist_ok=True)\n    path.write_text(record.to_json())",
        ("leaderboard/test_leaderboard.py::test_a_record_is_never_overwritten",),
    ),
    Mutation(
        "the cost of a teacher that two runs share is counted twice",
        "records/contents.py",
        "return self.cost.images_seen + sum(need.images_seen for need in set(self.needs.values()))",
        "return self.cost.images_seen + sum(need.images_seen for need in self.needs.values())",
        ("runs/test_needs.py::test_a_need_of_two_names_is_counted_once",),
    ),
    Mutation(
        "the population's standard deviation over seeds",
        "leaderboard/summary.py",
        "            return stdev(self.values)\n",
        "            return stdev(self.values) * ((self.n - 1) / self.n) ** 0.5\n",
        (
            "leaderboard/test_leaderboard.py::test_means_and_sample_standard_deviations_are_those_of_numpy",
        ),
    ),
    Mutation(
        "a needed run is a module of the model that learns from it",
        "model.py",
        "        if isinstance(value, GenerativeModel):\n            object",
        "        if value is self:\n            object",
        ("models/test_vqvae.py::test_the_tokenizer_is_no_part_of_the_prior",),
    ),
    Mutation(
        "training learns from an untrained teacher",
        "training/train.py",
        "model = build_model(config, data, needed)",
        "model = build_model(config, data, dict(zip(needed, model.needed())))",
        (
            "runs/test_needs.py::test_training_learns_from_the_recorded_weights_of_a_teacher_that_stays_as_it_is",
        ),
    ),
    Mutation(
        "a prior is measured with other codes than it was trained on",
        "runs/build.py",
        "    run.check_needs({name: facts[name] for name in used})\n",
        "",
        ("runs/test_needs.py::test_a_prior_is_measured_with_the_codes_that_it_was_trained_on",),
    ),
    Mutation(
        "codes that no image reaches are in use",
        "models/vae/vqvae.py",
        "minlength=K) > 0)",
        "minlength=K) >= 0)",
        ("models/test_vqvae.py::test_codes_that_no_image_reaches_are_counted_as_dead",),
    ),
    Mutation(
        "a row of diverged runs can be best",
        "leaderboard/board.py",
        "return not row.diverged and not self.lacks(row)",
        "return not self.lacks(row)",
        (
            "leaderboard/test_leaderboard.py::test_best_needs_a_lead_beyond_the_spread_and_no_diverged_run",
        ),
    ),
    Mutation(
        "an exact value under a bound is a proof",
        "leaderboard/board.py",
        '        and rival.kind == "exact"\n',
        "",
        (
            "leaderboard/test_leaderboard.py::test_an_exact_value_under_a_rivals_bound_proves_nothing",
        ),
    ),
    Mutation(
        "verdicts are not corrected for the number of hypotheses",
        "leaderboard/claims/decision.py",
        "dict(zip(sides, holm(p_values)))",
        "dict(zip(sides, p_values))",
        (
            "leaderboard/test_claims.py::test_what_is_better_by_far_is_supported_and_its_opposite_contradicted",
        ),
    ),
    Mutation(
        "a budget is told of data that were not measured under it",
        "leaderboard/claims/row_test.py",
        "if budget and dataset not in measured:",
        "if budget and not measured:",
        (
            "leaderboard/test_claims.py::test_a_budget_is_told_of_the_data_sets_that_were_measured_under_it",
        ),
    ),
    Mutation(
        "a claim against several rivals is that against the easiest",
        "leaderboard/claims/row_test.py",
        "hardest = max(range(len(pairs))",
        "hardest = min(range(len(pairs))",
        ("leaderboard/test_claims.py::test_one_rival_that_is_better_contradicts",),
    ),
    Mutation(
        "contradictions by one of several rivals are not counted",
        "leaderboard/claims/row_test.py",
        "contradiction = len(pairs) * min(",
        "contradiction = min(",
        ("leaderboard/test_claims.py::test_one_rival_that_is_better_contradicts",),
    ),
    Mutation(
        "claims are tested with Welch's degrees of freedom",
        "leaderboard/claims/statistics.py",
        "WELCH_SHARE = 0.25",
        "WELCH_SHARE = 1.0",
        (
            "leaderboard/test_claims.py::test_p_values_are_those_of_student_at_the_degrees_of_freedom_that_are_stated",
        ),
    ),
    Mutation(
        "spreads are compared as if values were normal",
        "leaderboard/claims/statistics.py",
        "KURTOSIS_FACTOR = 2.5",
        "KURTOSIS_FACTOR = 1.0",
        ("leaderboard/test_claims.py::test_equal_spreads_are_told_apart_in_at_most_five_per_cent",),
    ),
    Mutation(
        "a row wins a claim by its survivors",
        "leaderboard/claims/seed_pair.py",
        "p_support=1.0 if better_if_true.diverged else pair.p_support",
        "p_support=pair.p_support",
        ("leaderboard/test_claims.py::test_a_row_does_not_win_by_the_runs_that_did_not_diverge",),
    ),
    Mutation(
        "a claim is proved under a rival's bound",
        "leaderboard/claims/likelihood.py",
        '("exact", "bound") and loser.kind == "exact"',
        '("exact", "bound")',
        ("leaderboard/test_claims.py::test_a_likelihood_is_better_where_the_kinds_prove_it",),
    ),
    Mutation(
        "speeds of two devices are compared",
        "leaderboard/claims/ratio.py",
        "if len(devices) > 1:",
        "if len(devices) > 2:",
        (
            "leaderboard/test_claims.py::test_speeds_are_compared_on_one_device_and_counts_without_error",
        ),
    ),
    Mutation(
        "frequencies at half of the highest count as high",
        "metrics/frequencies.py",
        "(2 * u > height)",
        "(2 * u >= height)",
        (
            "metrics/test_frequencies.py::test_one_cosine_is_above_half_of_the_highest_frequency_or_not",
        ),
    ),
    Mutation(
        "an estimate of the likelihood bounds the volume of images",
        "leaderboard/claims/volume.py",
        'is_bound = kind != "estimate"',
        "is_bound = True",
        ("leaderboard/test_claims.py::test_a_likelihood_bounds_the_volume_of_typical_images",),
    ),
    Mutation(
        "enough network evaluations by the mean alone",
        "leaderboard/sampling_plot.py",
        "if row is best or interval is None or interval[0] <= 0:",
        "if row is best:",
        (
            "leaderboard/test_sampling_plot.py::test_enough_evaluations_are_told_by_differences_that_are_paired",
        ),
    ),
    Mutation(
        "records of the former protocol decide claims",
        "leaderboard/claims/evidence.py",
        "[board for board in every if board.tests_differences]",
        "every",
        ("leaderboard/test_claims.py::test_too_few_seeds_are_no_verdict_but_show_the_effect",),
    ),
    Mutation(
        "samplers of the same weights are not paired",
        "leaderboard/rows.py",
        "interval = paired if of_one_model else welch",
        "interval = welch",
        ("leaderboard/test_compare.py::test_samplers_of_the_same_weights_are_paired_by_seed",),
    ),
    Mutation(
        "Student's interval with a degree of freedom too many",
        "leaderboard/intervals.py",
        "error, freedom=len(a) - 1)",
        "error, freedom=len(a))",
        (
            "leaderboard/test_compare.py::test_samplers_of_the_same_weights_are_paired_by_seed",
            "leaderboard/test_compare.py::test_the_interval_is_that_of_scipy",
        ),
    ),
    Mutation(
        "bounds are printed like exact values",
        "leaderboard/cells.py",
        '"bound": "<= "',
        '"bound": ""',
        ("leaderboard/test_leaderboard.py::test_a_likelihood_prints_its_kind",),
    ),
    Mutation(
        "the sum of a Boltzmann machine begins at another constant",
        "formulas/boltzmann.py",
        "log_z_0 = self.c.shape[-1] * math.log(2) + ",
        "log_z_0 = ",
        ("models/test_rbm.py::test_probabilities_add_up_as_well_as_Z_is_known",),
    ),
    Mutation(
        "annealed weights by the state after the sweep",
        "formulas/boltzmann.py",
        "gain = (now - before) * _dot(v, self.b - self.a) + ratio.sum(1)",
        "gain = (now - before) * _dot(self.sweep(v, rng, now), self.b - self.a) + ratio.sum(1)",
        ("models/test_rbm.py::test_annealing_is_unbiased_in_Z",),
    ),
    Mutation(
        "persistent chains are set back to the images",
        "models/classical/rbm.py",
        "chain = state if self.chains is None else self.chains.read(rng).to(v)",
        "chain = state",
        ("models/test_rbm.py::test_chains_persist_and_contrastive_divergence_has_none",),
    ),
    Mutation(
        "label units do not reach hidden units",
        "models/classical/rbm.py",
        "self.c + e @ self.U, e @ self.a)",
        "self.c + 0 * e @ self.U, e @ self.a)",
        ("models/test_rbm_joint.py::test_the_free_energy_sums_over_the_hidden_units",),
    ),
    Mutation(
        "chains keep the labels of the data",
        "models/classical/rbm.py",
        "return torch.cat((v, F.one_hot(y, self.classes).to(v)), 1)",
        "return torch.cat((v, e), 1)",
        (
            "models/test_rbm_joint.py::test_a_sweep_of_all_units_leaves_the_joint_distribution_invariant",
        ),
    ),
    Mutation(
        "the biases of labels are left out of their constants",
        "models/classical/rbm.py",
        "log_z + (self.d[k] if self.conditional else 0)",
        "log_z",
        (
            "models/test_rbm_joint.py::test_finalize_knows_the_constant_of_every_class_with_its_error",
        ),
    ),
    Mutation(
        "chains of all classes draw the same numbers",
        "models/classical/rbm.py",
        "range(k * chains, (k + 1) * chains)",
        "range(chains)",
        ("models/test_rbm_joint.py::test_chains_of_classes_have_streams_of_their_own",),
    ),
    Mutation(
        "Bayes' rule without the frequencies of the classes",
        "metrics/log_densities.py",
        "joint[:, k] = log_q + math.log(p)",
        "joint[:, k] = log_q",
        (
            "metrics/test_accuracy.py::test_the_joint_density_is_the_frequency_of_a_class_times_the_density_given_it",
        ),
    ),
    Mutation(
        "every record of a model with a density has an accuracy",
        "records/consistency.py",
        "is_joint = record.likelihood is not None and record.likelihood.conditional",
        "is_joint = record.likelihood is not None",
        (
            "metrics/test_accuracy.py::test_a_record_has_the_accuracy_of_a_model_that_is_told_labels_and_of_no_other",
        ),
    ),
    Mutation(
        "a probe chooses its penalty by the test images",
        "metrics/probe.py",
        "(val == y.val).double().mean() for val, _ in fits",
        "(test == y.test).double().mean() for _, test in fits",
        ("metrics/test_probe.py::test_the_penalty_is_chosen_on_the_validation_images",),
    ),
    Mutation(
        "a probe scales every entry by itself",
        "metrics/probe.py",
        "(z.train - mean).square().mean().sqrt()",
        "(z.train - mean).square().mean(0).sqrt()",
        ("metrics/test_probe.py::test_entries_are_scaled_together",),
    ),
    Mutation(
        "all draws of a probe have the same labelled images",
        "metrics/probe.py",
        ".bits((len(y),)).argsort(dim=1, stable=True)",
        ".bits((len(y),))[:1].expand(_DRAWS, -1).argsort(dim=1, stable=True)",
        (
            "metrics/test_probe.py::test_labelled_images_are_as_many_of_each_class_and_others_in_every_draw",
        ),
    ),
    Mutation(
        "a metric is held against the easiest other one",
        "leaderboard/claims/within.py",
        "hardest = max(tests",
        "hardest = min(tests",
        (
            "leaderboard/test_claims.py::test_a_metric_is_held_against_every_other_one_of_the_same_runs",
        ),
    ),
    Mutation(
        "the baseline of a draw knows its own weight",
        "models/classical/sbn.py",
        "geometric = (log_w.sum(1, keepdim=True) - log_w) / (K - 1)",
        "geometric = log_w.mean(1, keepdim=True).expand_as(log_w)",
        ("models/test_sbn.py::test_the_gradient_is_that_of_the_bound_without_bias",),
    ),
    Mutation(
        "draws of a recognition net get no credit",
        "models/classical/sbn.py",
        "bits_per_dim(L + credit, self.spec.dims)",
        "bits_per_dim(L, self.spec.dims)",
        ("models/test_sbn.py::test_the_gradient_is_that_of_the_bound_without_bias",),
    ),
    Mutation(
        "the top layer of a sigmoid belief network has no prior",
        "nets/sigmoid_layers.py",
        "return _log_mass(states[0], self.b_0) + self.below.log_prob(states)",
        "return self.below.log_prob(states)",
        ("models/test_sbn.py::test_the_weight_of_a_draw_is_that_of_all_states_listed",),
    ),
    Mutation(
        "a Helmholtz machine sleeps on the images",
        "models/classical/helmholtz.py",
        "dreams = self.p.draw(rng)",
        "dreams = self.q.draw(self.flat(x), rng)[::-1]",
        (
            "models/test_helmholtz.py::test_each_phase_follows_the_gradient_of_its_objective",
            "models/test_helmholtz.py::test_dreams_do_not_depend_on_the_images",
        ),
    ),
    Mutation(
        "a pixel of a fully visible belief network sees itself",
        "nets/fvbn.py",
        "pixel[:, None] > pixel",
        "pixel[:, None] >= pixel",
        ("models/test_autoregressive.py::test_logits_have_a_triangular_jacobian",),
    ),
    Mutation(
        "hidden units of NADE see their own pixel",
        "nets/nade.py",
        "before = F.pad(added[:, :-1], (0, 0, 1, 0)).cumsum(1)",
        "before = added.cumsum(1)",
        (
            "models/test_autoregressive.py::test_logits_have_a_triangular_jacobian",
            "models/test_autoregressive.py::test_nade_has_the_hidden_units_of_its_equation",
        ),
    ),
    Mutation(
        "Langevin's noise has half its variance",
        "formulas/langevin.py",
        "math.sqrt(2 * eps) * z",
        "math.sqrt(eps) * z",
        (
            "formulas/test_langevin.py::test_a_quadratic_energy_has_its_stationary_variance",
            "formulas/test_langevin.py::test_chains_are_those_of_torchebm",
        ),
    ),
    Mutation(
        "chains of an energy model begin anew at every batch",
        "models/classical/ebm.py",
        "restarts = rng.uniform((1, 1, 1)) < self.restart",
        "restarts = rng.uniform((1, 1, 1)) < 1",
        ("models/test_ebm.py::test_chains_go_on_where_they_were_unless_they_begin_anew",),
    ),
    Mutation(
        "an energy model raises the energy of data",
        "models/classical/ebm.py",
        "difference = data.mean() - model.mean()",
        "difference = model.mean() - data.mean()",
        (
            "models/test_ebm.py::test_gradient_is_that_of_the_likelihood_where_the_chains_have_reached_it",
        ),
    ),
    Mutation(
        "a prior of codes draws images where their means are asked for",
        "models/autoregressive/latent_prior.py",
        'rng.split("image"), decoder)',
        'rng.split("image"))',
        ("models/test_vqvae.py::test_a_mean_sample_is_the_mean_of_its_codes",),
    ),
    Mutation(
        "VQ-VAE draws images where their means are asked for",
        "models/vae/vqvae.py",
        "self.draw(self.latent.draw(rng), rng, decoder)",
        "self.draw(self.latent.draw(rng), rng)",
        ("models/test_vqvae.py::test_a_mean_sample_is_the_mean_of_its_codes",),
    ),
    Mutation(
        "the loss of a prior of codes is per code",
        "models/autoregressive/latent_prior.py",
        "bits_per_dim(-nats.mean(), self.spec.dims)",
        "bits_per_dim(-nats.mean(), self.tokenizer.codes.dims)",
        (
            "models/test_vqvae.py::test_the_prior_is_trained_by_its_code_length_per_dimension_of_the_image",
        ),
    ),
    Mutation(
        "the mixture of an autoencoder is fitted to the first codes",
        "models/vae/autoencoder.py",
        "zip(z.split(_CODES), group",
        "zip(z[:_CODES].split(_CODES), group[:_CODES]",
        ("models/test_autoencoder.py::test_the_fit_takes_all_codes_in_parts_of_any_size",),
    ),
    Mutation(
        "the discriminator of pairs sees integers",
        "models/gan/pix2pix.py",
        "real = dequantised(x, self.spec.levels, rng)",
        "real = self.to_real(x)",
        ("models/test_pix2pix.py::test_the_discriminator_sees_x_anywhere_in_its_cells",),
    ),
    Mutation(
        "nothing is dropped where features enter a transformer",
        "nets/transformer.py",
        "        h = dropout(h, self.dropout, rng)\n",
        "",
        (
            "nets/test_transformer.py::test_features_are_dropped_where_they_enter_and_where_they_are_added",
        ),
    ),
    Mutation(
        "nothing is dropped behind attention",
        "nets/transformer.py",
        "h + dropout(self.joined(attended), p, rng)",
        "h + self.joined(attended)",
        (
            "nets/test_transformer.py::test_features_are_dropped_where_they_enter_and_where_they_are_added",
        ),
    ),
    Mutation(
        "nothing is dropped behind a perceptron",
        "nets/transformer.py",
        "h + dropout(self.perceptron(h), p, rng)",
        "h + self.perceptron(h)",
        (
            "nets/test_transformer.py::test_features_are_dropped_where_they_enter_and_where_they_are_added",
        ),
    ),
    Mutation(
        "what blocks add begins as large in a deeper transformer",
        "nets/transformer.py",
        "std=0.02 / math.sqrt(2 * depth)",
        "std=0.02",
        ("nets/test_transformer.py::test_what_blocks_add_begins_smaller_in_a_deeper_network",),
    ),
    Mutation(
        "full stops in front of a sentence are padding",
        "data/grammar.py",
        "text.rstrip(_PADDING)",
        "text.strip(_PADDING)",
        ("data/test_grammar.py::test_a_full_stop_is_padding_behind_a_sentence_alone",),
    ),
    Mutation(
        "full stops within a sentence are padding",
        "data/grammar.py",
        "text.rstrip(_PADDING)",
        'text.replace(_PADDING, "")',
        ("data/test_grammar.py::test_a_full_stop_is_padding_behind_a_sentence_alone",),
    ),
    Mutation(
        "the label of a sentence is its last colour",
        "data/grammar.py",
        "sentence.split()[1]",
        "sentence.split()[-2]",
        ("data/test_grammar.py::test_the_label_is_the_first_colour",),
    ),
    Mutation(
        "the middle row is part of the upper half",
        "data/pairs.py",
        "y[:, :, x.shape[2] // 2 :] = 0",
        "y[:, :, (x.shape[2] + 1) // 2 :] = 0",
        ("data/test_pairs.py::test_of_an_odd_height_the_upper_half_is_the_smaller_one",),
    ),
    Mutation(
        "the norm of a mixture is that of its spread",
        "formulas/mixtures.py",
        "float(mean.square().sum() + covariance.trace())",
        "float(covariance.trace())",
        ("models/test_autoencoder.py::test_the_norm_of_the_mixture_is_that_of_its_second_moment",),
    ),
    Mutation(
        "a step of expectation maximisation tells a sum",
        "formulas/mixtures.py",
        "return log_likelihood / points",
        "return log_likelihood",
        (
            "models/test_autoencoder.py::test_a_step_of_the_fit_tells_scikit_learns_mean_log_likelihood_before_it",
        ),
    ),
    Mutation(
        "the stochastic sampler adds noise of standard deviation 1",
        "formulas/samplers.py",
        "added * self.noise * rng",
        "added * rng",
        (
            "formulas/test_noise.py::test_the_stochastic_sampler_raises_the_level_between_low_and_high",
        ),
    ),
    Mutation(
        "the stochastic sampler adds noise at every level",
        "formulas/samplers.py",
        "if gamma > 0 and self.low <= t.sigma / t.alpha <= self.high:",
        "if gamma > 0:",
        (
            "formulas/test_noise.py::test_the_stochastic_sampler_raises_the_level_between_low_and_high",
        ),
    ),
    Mutation(
        "exploding noise grows by equal differences",
        "formulas/noise.py",
        "self.sigma_min * (self.sigma_max / self.sigma_min) ** t.double()",
        "self.sigma_min + (self.sigma_max - self.sigma_min) * t.double()",
        ("formulas/test_noise.py::test_noise_grows_by_equal_factors_or_by_equal_differences",),
    ),
    Mutation(
        "a row takes the hash of its last record",
        "evaluation/resolve.py",
        "return min(hashes)[1]",
        "return max(hashes)[1]",
        ("evaluation/test_evaluate.py::test_a_row_keeps_the_hash_of_its_first_record",),
    ),
    Mutation(
        "images of another tool spoil a row of their name",
        "evaluation/resolve.py",
        "gone, or the record is of foreign images.\n            continue",
        "gone, or the record is of foreign images.\n            raise",
        ("evaluation/test_evaluate.py::test_a_row_keeps_the_hash_of_its_first_record",),
    ),
    Mutation(
        "samples of a Boltzmann machine begin at its biases",
        "models/classical/rbm.py",
        "torch.special.ndtr(x.flatten(1)) < torch.sigmoid(machine.a)",
        "torch.special.ndtr(x.flatten(1)) < torch.sigmoid(machine.b)",
        ("models/test_rbm.py::test_samples_begin_at_the_base_rates",),
    ),
    Mutation(
        "the number of temperatures is ignored",
        "models/classical/rbm.py",
        "machine.anneal(v, rng, steps)",
        "machine.anneal(v, rng, 200)",
        ("models/test_rbm.py::test_a_trajectory_has_a_state_for_every_temperature",),
    ),
    Mutation(
        "a Boltzmann machine begins at large weights",
        "models/classical/rbm.py",
        "0.01 * torch.randn(spec.dims, hidden)",
        "torch.randn(spec.dims, hidden)",
        ("models/test_rbm.py::test_learning_begins_at_small_weights_and_no_biases",),
    ),
    Mutation(
        "log Z is kept in float32",
        "models/classical/rbm.py",
        '"log_z", torch.zeros(groups, dtype=torch.float64)',
        '"log_z", torch.zeros(groups, dtype=torch.float32)',
        ("models/test_rbm.py::test_log_Z_of_a_model_in_float32_has_the_digits_of_float64",),
    ),
    Mutation(
        "a second SIGINT is ignored",
        "training/stop.py",
        "if self.signal == signal.SIGINT == number:",
        "if False:",
        ("training/test_stop.py::test_a_second_sigint_interrupts",),
    ),
    Mutation(
        "ancestral sampling has the posterior's variance always",
        "formulas/samplers.py",
        "ancestral_step(x, denoise(x, t), t, s, self.variance)",
        "ancestral_step(x, denoise(x, t), t, s)",
        ("formulas/test_noise.py::test_a_step_adds_the_variance_of_its_option",),
    ),
    Mutation(
        "DDIM is deterministic always",
        "formulas/samplers.py",
        "ddim_step(x, denoise(x, t), t, s, self.eta)",
        "ddim_step(x, denoise(x, t), t, s)",
        ("formulas/test_noise.py::test_a_step_adds_the_variance_of_its_option",),
    ),
    Mutation(
        "latents of a flow by fifty steps always",
        "models/flow_matching/flow_matching.py",
        "centre, grid(steps), solver)",
        "centre, grid(50), solver)",
        ("models/test_flow_matching.py::test_options_of_the_solver_reach_it",),
    ),
    Mutation(
        "latents of a flow by Heun always",
        "models/flow_matching/flow_matching.py",
        "centre, grid(steps), solver)",
        'centre, grid(steps), "heun")',
        ("models/test_flow_matching.py::test_options_of_the_solver_reach_it",),
    ),
    Mutation(
        "images of latents of a flow by fifty steps always",
        "models/flow_matching/flow_matching.py",
        "None, y, solver, steps)",
        "None, y, solver)",
        ("models/test_flow_matching.py::test_options_of_the_solver_reach_it",),
    ),
    Mutation(
        "images of latents of a flow by Heun always",
        "models/flow_matching/flow_matching.py",
        "None, y, solver, steps)",
        'None, y, "heun", steps)',
        ("models/test_flow_matching.py::test_options_of_the_solver_reach_it",),
    ),
    Mutation(
        "densities of a flow by even steps always",
        "models/continuous_flow.py",
        "times = grid(steps, power)",
        "times = grid(steps)",
        ("models/test_flow_matching.py::test_options_of_the_solver_reach_it",),
    ),
    Mutation(
        "a mixture's loss is divided by another number of pixels",
        "models/classical/gmm.py",
        "self.spec.dims).mean()",
        "self.spec.dims + 1).mean()",
        ("models/test_gmm.py::test_the_loss_is_minus_log_prob_per_dimension_in_bits",),
    ),
    Mutation(
        "a suite's second SIGINT is ignored",
        "suites/jobs.py",
        "if self.stopped is not None and number == signal.SIGINT:",
        "if False:",
        ("suites/test_jobs.py::test_a_second_interrupt_ends_a_suite_at_once",),
    ),
    Mutation(
        "sub-VP keeps the image by the rates of the paper always",
        "formulas/noise.py",
        "Linear(self.first, self.last).alpha(t)",
        "Linear().alpha(t)",
        ("formulas/test_noise.py::test_schedules_have_the_rates_that_are_asked_for",),
    ),
    Mutation(
        "sub-VP has the noise of the rates of the paper always",
        "formulas/noise.py",
        "Linear(self.first, self.last).log_alpha(t)",
        "Linear().log_alpha(t)",
        ("formulas/test_noise.py::test_schedules_have_the_rates_that_are_asked_for",),
    ),
    Mutation(
        "the linear schedule begins at the rate of the paper always",
        "formulas/noise.py",
        "self.first * t + 0.5 * (self.last - self.first)",
        "0.1 * t + 0.5 * (self.last - 0.1)",
        ("formulas/test_noise.py::test_schedules_have_the_rates_that_are_asked_for",),
    ),
    Mutation(
        "the chain of the linear schedule has the rates of the paper always",
        "formulas/noise.py",
        "torch.linspace(self.first / 1000, self.last / 1000",
        "torch.linspace(0.1 / 1000, 20.0 / 1000",
        ("formulas/test_noise.py::test_schedules_have_the_rates_that_are_asked_for",),
    ),
    Mutation(
        "rho of the schedule of Karras et al. is 7 always",
        "formulas/noise.py",
        "** self.rho",
        "** 7.0",
        ("formulas/test_noise.py::test_schedules_have_the_rates_that_are_asked_for",),
    ),
    Mutation(
        "densities of a flow by one tolerance always",
        "models/continuous_flow.py",
        "vectors, times, solver, tolerance)",
        "vectors, times, solver)",
        ("models/test_flow_matching.py::test_options_of_the_solver_reach_it",),
    ),
    Mutation(
        "padding in front of a line is not shown",
        "spec.py",
        "text.rstrip(self.padding) if",
        "text.strip(self.padding) if",
        ("data/test_grammar.py::test_a_line_shows_padding_in_front_and_within",),
    ),
    Mutation(
        "padding within a line is not shown",
        "spec.py",
        "text.rstrip(self.padding) if",
        'text.replace(self.padding, "") if',
        ("data/test_grammar.py::test_a_line_shows_padding_in_front_and_within",),
    ),
    Mutation(
        "equal codes have a mixture without spread",
        "models/vae/autoencoder.py",
        "floor = max(_FLOOR * float(z.var(0, correction=0).mean()), _LEAST)",
        "floor = _FLOOR * float(z.var(0, correction=0).mean())",
        ("models/test_autoencoder.py::test_codes_that_are_all_equal_have_a_density",),
    ),
    Mutation(
        "a Boltzmann machine has as many chains as it should have temperatures",
        "models/classical/rbm.py",
        "self.ais = (ais_temperatures, ais_chains)",
        "self.ais = (ais_chains, ais_temperatures)",
        (
            "models/test_rbm.py::test_finalize_has_the_temperatures_and_the_chains_that_are_asked_for",
        ),
    ),
    Mutation(
        "a row takes the hash of another model's record",
        "evaluation/resolve.py",
        "if record.model != config.name:",
        "if False:",
        ("evaluation/test_evaluate.py::test_a_row_keeps_the_hash_of_its_first_record",),
    ),
    Mutation(
        "codes are drawn without their label",
        "models/autoregressive/latent_prior.py",
        'draw_in_order(self.net, rng.split("codes"), self.condition(y))',
        'draw_in_order(self.net, rng.split("codes"), None)',
        ("models/test_vqvae.py::test_samples_have_the_probabilities_of_the_sum_over_all_codes",),
    ),
    Mutation(
        "codes are scored without their label",
        "models/autoregressive/latent_prior.py",
        "z[:, None], self.condition(y), self.dtype",
        "z[:, None], None, self.dtype",
        ("models/test_vqvae.py::test_samples_have_the_probabilities_of_the_sum_over_all_codes",),
    ),
    Mutation(
        "the codebook begins as large as the encoder's vectors",
        "models/vae/vqvae.py",
        "0.1 * torch.randn(K, d)",
        "torch.randn(K, d)",
        ("models/test_vqvae.py::test_the_codebook_begins_small_beside_the_encoder_s_vectors",),
    ),
    Mutation(
        "the generator of pairs has one number as noise",
        "models/gan/pix2pix.py",
        "z = rng.normal((1, *self.spec.shape[1:]))",
        "z = rng.normal((1, 1, 1)).expand(-1, -1, *self.spec.shape[1:])",
        ("models/test_pix2pix.py::test_the_generator_sees_y_and_normal_noise_at_every_pixel",),
    ),
    Mutation(
        "edges are those of the first channel",
        "data/pairs.py",
        "4 * step.max(1, keepdims=True)",
        "4 * step[:, :1]",
        ("data/test_pairs.py::test_an_edge_of_one_channel_is_one",),
    ),
    Mutation(
        "splits of the grammar are one draw",
        "data/grammar.py",
        'split(f"grammar/{split}")',
        'split("grammar")',
        ("data/test_grammar.py::test_splits_are_draws_of_their_own",),
    ),
    Mutation(
        "speeds of different devices are compared",
        "leaderboard/words.py",
        "if other.speed_device == row.speed_device and (x := other.images_per_second)",
        "if (x := other.images_per_second)",
        ("leaderboard/test_leaderboard.py::test_speeds_are_compared_on_one_device_only",),
    ),
    # --- demonstrations ---------------------------------------------------------------------------------------------------
    Mutation(
        "noise shrinks the modes of a mixture too little",
        "demos/line_mixture.py",
        "(alpha**2 * self.s**2 + sigma**2).sqrt()",
        "(alpha * self.s**2 + sigma**2).sqrt()",
        ("demos/test_closed_forms.py::test_mixture_on_the_line",),
    ),
    Mutation(
        "the error of a mean is that of a draw",
        "demos/demonstration.py",
        "error = draws.std() / len(draws) ** 0.5",
        "error = draws.std()",
        ("demos/test_demos.py::test_numbers_agree_with_their_closed_forms[langevin-up]",),
    ),
    Mutation(
        "a number that is too small agrees",
        "records/demonstration.py",
        "return self.error <= self.tolerance",
        "return self.value - self.expected <= self.tolerance",
        ("demos/test_demos.py::test_edited_results_are_refused",),
    ),
    Mutation(
        "a demonstration that disagrees ends well",
        "cli/demo.py",
        "if not record.passed:",
        "if record.passed is None:",
        ("demos/test_demos.py::test_wrong_numbers_are_written_as_failed_and_end_the_command",),
    ),
)


# --- running ----------------------------------------------------------------------------------------------------------------


@contextmanager
def copied_tree() -> Iterator[Path]:
    """A copy of the working tree, without what git ignores."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
    )
    with tempfile.TemporaryDirectory(prefix="genbench-mutants-") as folder:
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file():
                target = Path(folder) / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, target)
        yield Path(folder)


@contextmanager
def edited(folder: Path, mutation: Mutation) -> Iterator[None]:
    """The copy with a mistake in it, and without it again.

    Raises:
        ValueError: The text of the edit does not stand there once.
    """
    path = folder / mutation.path
    text = path.read_text()
    count = text.count(mutation.old)
    if count != 1:
        raise ValueError(f"{mutation.path}: {mutation.old!r} stands there {count} times")
    path.write_text(text.replace(mutation.old, mutation.new))
    try:
        yield
    finally:
        path.write_text(text)


@contextmanager
def own_data(folder: Path, mutation: Mutation) -> Iterator[None]:
    """For a mistake in data/, a folder of decoded copies of its own: none from before the mistake is read, none with it is left."""
    if mutation.file.partition("/")[0] != "data":
        yield
        return
    before = os.environ.get("GENBENCH_TEST_DATA")
    with tempfile.TemporaryDirectory(dir=folder) as data:
        os.environ["GENBENCH_TEST_DATA"] = data
        try:
            yield
        finally:
            del os.environ["GENBENCH_TEST_DATA"]
            if before is not None:
                os.environ["GENBENCH_TEST_DATA"] = before


def load_libraries() -> None:
    """Import what is the same for every mistake, once: each is then tried in a fork of this process."""
    os.environ.update(OMP_NUM_THREADS="1", PYTHONDONTWRITEBYTECODE="1")
    sys.dont_write_bytecode = True
    for library in (
        "torch",
        "lightning.pytorch",
        "torchmetrics",
        "jsonargparse",
        "scipy.stats",
        "sklearn.datasets",
        "pytest",
    ):
        importlib.import_module(library)
    assert "genbench" not in sys.modules


def failed(folder: Path, tests: Sequence[str], patience: float = PATIENCE) -> tuple[bool, str]:
    """Whether one of the tests fails in a copy of the tree, and the last line that pytest says.

    Raises:
        ValueError: pytest could not run them at all, or did not come to an end.
    """
    output = folder / "pytest.txt"
    child = os.fork()
    if child == 0:
        os._exit(run_pytest(folder, tests, output))
    deadline = time.monotonic() + patience
    ended, status = os.waitpid(child, os.WNOHANG)
    while not ended and time.monotonic() < deadline:
        time.sleep(0.05)
        ended, status = os.waitpid(child, os.WNOHANG)
    # it leads a group of its own, with whatever its tests have started
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if not ended:
        os.waitpid(child, 0)
        raise ValueError(f"its tests took more than {patience:.0f} s")
    code = os.waitstatus_to_exitcode(status)
    last = (output.read_text().strip().splitlines() or [""])[-1]
    if code not in (0, 1):
        raise ValueError(f"pytest ended with {code}: {last}")
    return code == 1, last


def run_pytest(folder: Path, tests: Sequence[str], output: Path) -> int:
    """pytest's exit code, in a process of its own that sees the copy's package; what it says goes to a file."""
    import pytest

    os.setsid()
    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(folder)
    os.environ["PYTHONPATH"] = str(folder)
    sys.path[0] = str(folder)
    options = ["-n", "0", "-x", "-q", "-m", "", "-p", "no:cacheprovider", "--tb=line"]
    code = int(pytest.main([*options, *(f"tests/{test}" for test in tests)]))
    sys.stdout.flush()
    return code


def selected(words: Sequence[str]) -> list[Mutation]:
    """Mutations whose name, file or test has one of the words; all of them without a word."""
    return [
        mutation
        for mutation in MUTATIONS
        if not words
        or any(word in " ".join((mutation.name, mutation.file, *mutation.tests)) for word in words)
    ]


def run(mutations: Sequence[Mutation]) -> int:
    """Make every mistake in turn. Returns how many were not seen, or could not be made."""
    alive = 0
    start = time.monotonic()
    with copied_tree() as folder:
        load_libraries()
        every_test = sorted({test for mutation in mutations for test in mutation.tests})
        print(f"{len(every_test)} tests without a mistake ...", flush=True)
        fails, line = failed(folder, every_test, patience=PATIENCE * len(every_test))
        if fails:
            raise SystemExit(f"a test fails without a mistake: {line}")
        for number, mutation in enumerate(mutations, 1):
            try:
                with edited(folder, mutation), own_data(folder, mutation):
                    fails, line = failed(folder, mutation.tests)
                word = "killed" if fails else "SURVIVED"
            except ValueError as error:
                fails, word, line = False, "NOT RUN", str(error)
            alive += not fails
            print(f"{number:3d} {word:8s} {mutation.path}: {mutation.name}", flush=True)
            if not fails:
                print(f"    {line}", flush=True)
    print(
        f"{len(mutations) - alive} of {len(mutations)} killed in {(time.monotonic() - start) / 60:.0f} minutes"
    )
    return alive


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Make mistakes on purpose, and see that a test fails for each."
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="TEXT",
        help="of those whose name, file or test has this text",
    )
    parser.add_argument("--list", action="store_true", help="print them and do nothing")
    arguments = parser.parse_args()
    mutations = selected(arguments.only)
    if arguments.list:
        for mutation in mutations:
            print(
                f"{mutation.path}: {mutation.name}\n    - {mutation.old}\n    + {mutation.new}\n    {', '.join(mutation.tests)}"
            )
        return 0
    return 1 if run(mutations) else 0


if __name__ == "__main__":
    sys.exit(main())
