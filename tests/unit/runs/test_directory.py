"""Run directories: created complete, checked when they are opened, and locked."""

import json
import shutil

import pytest
import torch
from program import call
from reruns import new_run, train

from cli.runs.config import RunConfig, resolve
from cli.runs.directory import RunDirectory
from cli.runs.history import UpdateLine, ValidationLine
from cli.runs.provenance import FORMAT_VERSION
from seq2seq.checkpoints.checkpoint import verify
from seq2seq.checkpoints.folder import point
from seq2seq.errors import CheckpointError, ConfigError, ResourceError
from seq2seq.training.events import TrainingState, ValidationScores


@pytest.fixture(scope="module")
def trained_path(tmp_path_factory, store_path):
    from data.token_store import TokenStore

    store = TokenStore.open(store_path)
    run = new_run(tmp_path_factory.mktemp("runs") / "run", store, training={"updates": 6})
    train(run, store)
    return run.path


@pytest.fixture
def run(trained_path, tmp_path) -> RunDirectory:
    """A trained run that a test may damage."""
    return RunDirectory.open(shutil.copytree(trained_path, tmp_path / "run"))


def test_a_run_has_all_that_a_later_command_needs(run, store):
    assert run.config.data == store.config
    assert run.tokenizer("source").model == store.tokenizer("source").model
    assert run.languages == store.languages
    assert run.provenance["store"]["sha256"] == store.sha256
    assert run.provenance["seed"] == run.config.training.seed
    assert {"torch", "python", "seq2seq"} <= set(run.provenance["versions"])
    random_numbers = torch.get_rng_state()
    loaded = run.load_model(run.verified())
    assert torch.equal(torch.get_rng_state(), random_numbers)  # no weight was drawn
    model = run.build_model()
    verify(run.checkpoint()).load_weights(model)
    assert model.output.vocabulary.out_features == store.meta["target_vocabulary"]
    assert all(p.isfinite().all() for p in model.parameters())
    for ours, theirs in zip(loaded.state_dict().values(), model.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_run_may_write_the_output_pieces_of_its_store(run, store):
    assert run.output_ids.tolist() == store.output_ids.tolist()
    assert run.build_model().output.ids.tolist() == store.output_ids.tolist()
    assert run.build_model().logits(torch.zeros(8)).shape == store.output_ids.shape
    text = "baba quince"  # has pieces that no target has
    plain, ours = store.tokenizer("target").encode(text), run.tokenizer("target").encode(text)
    assert {*ours} <= {*store.output_ids.tolist()} and not {*plain} <= {*ours}
    assert run.tokenizer("target").decode(ours) == text
    assert run.tokenizer("source").encode(text) == plain


def test_a_run_may_write_any_piece_where_targets_are_sampled_or_the_store_is_old(store, tmp_path):
    sampled = new_run(tmp_path / "sampled", store, training={"target_subword_sampling": 0.1})
    del store.meta["output_pieces"]
    for run in (sampled, new_run(tmp_path / "old", store)):
        assert run.output_ids is None and not (run.path / "output.ids").exists()
        assert len(run.build_model().output.ids) == store.meta["target_vocabulary"]
        assert run.tokenizer("target").encode("qui") == store.tokenizer("target").encode("qui")


@pytest.mark.parametrize("damage", ["flipped", "gone"])
def test_other_output_ids_than_it_was_trained_with_are_refused(run, damage):
    path = run.path / "output.ids"
    content = bytearray(path.read_bytes())
    content[-4] ^= 1
    path.unlink() if damage == "gone" else path.write_bytes(content)
    for use in (run.build_model, lambda: run.tokenizer("target")):
        with pytest.raises(CheckpointError, match=r"output\.ids is missing or damaged"):
            use()


def test_a_run_has_the_languages_of_its_store(store, tmp_path):
    store.meta.update(source_language="de", target_language="en")
    assert new_run(tmp_path / "run", store).languages == ("de", "en")


def test_a_run_can_be_renamed_and_its_store_removed(run, tmp_path):
    elsewhere = RunDirectory.open(run.path.rename(tmp_path / "else where [b]"))
    verify(elsewhere.checkpoint("last")).load_weights(elsewhere.build_model())
    ids = elsewhere.tokenizer("source").encode("ba ce")
    assert elsewhere.tokenizer("target").decode(ids) == "ba ce"


def test_an_existing_path_is_never_touched(tmp_path, store):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    for name in ("file", "link", "folder"):
        with pytest.raises(ConfigError, match="exists already") as caught:
            new_run(tmp_path / name, store)
        assert caught.value.hint == "choose another path"  # there is nothing to resume
    new_run(tmp_path / "run", store)
    with pytest.raises(ConfigError, match="exists already") as caught:
        new_run(tmp_path / "run", store)
    assert "--resume" in caught.value.hint
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder", "link", "run"]


def test_a_run_directory_is_created_complete_or_not_at_all(tmp_path, store, monkeypatch):
    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cli.runs.directory.write_json", fail)
    with pytest.raises(ResourceError, match="No space left"):
        new_run(tmp_path / "deep" / "run", store)
    assert not list((tmp_path / "deep").iterdir())


@pytest.mark.parametrize("name", ["config.toml", "provenance.json"])
@pytest.mark.parametrize("text", ["", "[", "[modle]\nx = 1", "\x00", "{"])
def test_a_damaged_description_is_named(run, name, text):
    (run.path / name).write_text(text)
    if name == "config.toml" and text == "":  # TOML, with every setting at its default
        assert RunDirectory.open(run.path).config == RunConfig()
        return
    with pytest.raises(CheckpointError) as caught:
        opened = RunDirectory.open(run.path)
        assert opened.config
    assert name in caught.value.message


def test_a_folder_that_is_not_a_run_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(CheckpointError, match="is not a run directory"):
            RunDirectory.open(path)


def test_another_format_version_is_refused(run):
    path = run.path / "provenance.json"
    path.write_text(json.dumps(run.provenance | {"format_version": FORMAT_VERSION + 1}))
    with pytest.raises(CheckpointError, match=f"format version {FORMAT_VERSION + 1}"):
        RunDirectory.open(run.path)


def test_other_pieces_than_it_was_trained_with_are_refused(run):
    model = run.path / "pieces.model"
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"pieces\.model is missing or damaged"):
        run.tokenizer("source")
    model.unlink()
    with pytest.raises(CheckpointError):
        run.tokenizer("target")


def test_checkpoints_are_found_by_name(run):
    assert run.checkpoint("last").name == run.checkpoint("best").name == "update-000000006"
    assert run.checkpoint("update-000000006") == run.checkpoint()
    for name in ("first", "../checkpoints", "update-000000007", "", "/"):
        with pytest.raises(CheckpointError) as caught:
            run.checkpoint(name)
        assert "update-000000006" in caught.value.hint


def test_a_run_without_checkpoints_says_so(tmp_path, store):
    with pytest.raises(CheckpointError) as caught:
        new_run(tmp_path / "run", store).checkpoint()
    assert "--resume" in caught.value.hint


def test_a_lock_names_its_owner_and_is_released(run):
    with run.lock(), pytest.raises(ResourceError, match=r"process \d+ on .* since \d{4}"):
        RunDirectory(run.path).lock().__enter__()
    assert (run.path / ".lock").read_text() == ""  # never removed: somebody may wait for it
    with pytest.raises(ZeroDivisionError), run.lock():
        raise ZeroDivisionError
    with run.lock():
        pass


def test_a_changed_config_is_read_back(run):
    changed = resolve(run.config.model_dump(exclude_none=True), {"training": {"updates": 9}})
    run.write_config(changed)
    assert run.config == RunDirectory.open(run.path).config == changed


def test_metrics_after_a_checkpoint_are_removed(run):
    lines = [update_line(1), update_line(2), validation_line(2), update_line(3), update_line(4)]
    lines.append(validation_line(4))
    cases = {(4, 4): 6, (4, 2): 5, (3, 2): 4, (2, 2): 3, (2, 0): 2, (0, 0): 0}
    for (update, validated), kept in cases.items():
        run.metrics.write_text("".join(lines) + '{"event": "upd')
        run.rewind(TrainingState(update=update, validated=validated))
        assert run.metrics.read_text() == "".join(lines[:kept])


def test_a_line_that_was_cut_inside_a_character_is_removed(run):
    run.metrics.write_bytes(update_line(1).encode() + '{"event": "Ωμ'.encode()[:-1])
    run.rewind(TrainingState(update=1, validated=0))
    assert run.metrics.read_text() == update_line(1)


def update_line(update: int) -> str:
    line = UpdateLine(
        update=update,
        epoch=1,
        batch=update - 1,
        tokens=100,
        nats_per_token=2.5,
        objective_per_token=2.75,
        gradient_norm=1.5,
        learning_rate=1e-3,
    )
    return line.to_json()


def validation_line(update: int) -> str:
    return ValidationLine(update=update, scores=ValidationScores(2.5), best_update=update).to_json()


def test_metrics_are_valid_json_without_infinity_and_nan(run):
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    for line in run.metrics.read_text().splitlines():
        values = json.loads(line, parse_constant=refuse)
        assert values["event"] in ("update", "validation")


def test_initial_weights_depend_on_the_seed_alone(run):
    def weights() -> list[torch.Tensor]:
        torch.manual_seed(run.config.training.seed)
        return list(run.build_model().parameters())

    assert all(torch.equal(ours, theirs) for ours, theirs in zip(weights(), weights(), strict=True))


def test_a_checkpoint_that_training_replaces_while_it_is_verified_is_no_damage(run, monkeypatch):
    old = run.checkpoint("last")
    new = shutil.copytree(old, old.with_name("update-000000012"))

    def replaced(path):
        if path == old:
            point(run.checkpoints, "last", new)
            shutil.rmtree(old)
        return verify(path)

    monkeypatch.setattr("cli.runs.directory.verify", replaced)
    assert run.verified("last").path == new


def test_a_run_that_is_being_trained_is_read(run):
    with run.lock():
        assert call("translate", run.path, stdin=b"ba\n").code == 0
        assert call("describe", run.path).code == 0
