"""A token store in shards: parts of the training text that several machines encode on their own.

STORE.shards/        written by `plan_shards`, which reads all text once and learns the pieces
  plan.json          settings, counts, hashes of the text, and where each shard begins in it
  pieces.model       or source.model and target.model
  shard-3-of-8/      written by `prepare_shard`
    train.*          ids, offsets and lines of its pairs
    shard.json       counts, hashes, its cleaning report, pieces of its targets

`merge_shards` makes the store of them, byte for byte that of a single process. Shards are whole
chunks of lines in the order of the text, so nothing depends on their number.
"""

import shutil
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.preparation.encoding import EncodedPart, EncodedSplit, SplitEncoder
from data.preparation.inputs import PreparationInputs
from data.preparation.overlap import overlapping_lines
from data.preparation.piece_models import intact_models, reuse_models
from data.preparation.pipeline import (
    PreparationResult,
    already_prepared,
    complete,
    plan_store,
    prepare,
    provide_models,
)
from data.preparation.request import PreparationRequest
from data.preparation.shard_plan import (
    PLAN,
    PLAN_AGAIN,
    RECORD,
    VALID,
    PartCounts,
    Shard,
    ShardPlan,
    ShardRecord,
    shards_folder,
    write_plan,
)
from data.preparation.working_folder import (
    WorkingFolder,
    publish,
    refuse_to_replace,
    restore_replaced,
)
from data.token_store import TokenStore, writing_split
from seq2seq.errors import ConfigError, CorpusError
from seq2seq.system.files import write_json

_BLOCK = 1 << 16  # pairs copied at a time


def plan_shards(request: PreparationRequest, count: int) -> tuple[ShardPlan, bool]:
    """Read all text, choose settings, learn pieces, and divide the text among shards.

    Also returns whether that was done before. Raises ConfigError where the store or other shards of
    it are there already.
    """
    restore_replaced(request.store)
    folder = shards_folder(request.store)
    if folder.exists() and not (folder / PLAN).is_file():
        raise ConfigError(f"{folder} exists already", hint="move it away")
    inputs = PreparationInputs.survey(request)
    planned, sample = plan_store(request, inputs)
    if request.store.exists() and not request.overwrite:
        already_prepared(request.store, planned.key)
        raise ConfigError(
            f"{request.store} is prepared already", hint="train on it, or --overwrite it"
        )
    refuse_to_replace(request.store)
    if folder.exists() and not request.overwrite:
        plan = ShardPlan.open(request.store)
        if plan.planned.key == planned.key and plan.count == count:
            return plan, True
        other = "another number" if plan.planned.key == planned.key else "of other text or settings"
        raise ConfigError(
            f"{plan.count} shards of {request.store} are planned already, {other}",
            hint="merge them, or --overwrite them",
        )
    with WorkingFolder(folder) as partial:
        provide_models(partial, request, inputs, planned, sample)
        write_plan(partial, request, inputs, planned, count)
        publish(partial, folder)
    return ShardPlan.open(request.store), False


def prepare_shard(request: PreparationRequest, shard: Shard) -> tuple[ShardRecord, bool]:
    """Clean and encode one shard; also returns whether that was done before.

    Raises ConfigError where it was not planned, CorpusError where its text has changed, and
    ResourceError where another process prepares it.
    """
    plan = ShardPlan.open(request.store)
    plan.refuse_other(request, links=False)
    if shard.count != plan.count:
        raise ConfigError(
            f"{plan.count} shards of {request.store} are planned, not {shard.count}",
            hint=f"give --shard I/{plan.count}",
        )
    path = plan.path_of(shard)
    if path.exists() and not request.overwrite:
        return plan.read(shard), True
    if not intact_models(plan.folder / PLAN, plan.content.piece_key):
        raise CorpusError(f"the pieces in {plan.folder} are damaged", hint=PLAN_AGAIN)
    parts = plan.parts(shard, request)
    plan.refuse_changed_texts(request, [*(part.corpus.name for part in parts), VALID])
    with WorkingFolder(path) as folder:
        encoder = SplitEncoder(
            plan.folder, folder, plan.planned.config, request.processes, request.progress
        )
        training = chain.from_iterable(part.raw_pairs() for part in parts)
        overlap = overlapping_lines(request.valid, training)
        encoded = encoder.encode("train", parts, clean=True)
        record = ShardRecord(
            plan=plan.sha256,
            parts=[PartCounts.of(part) for part in encoded.parts],
            sha256=encoded.sha256,
            target_pieces=encoded.target_pieces.nonzero()[0].tolist(),
            overlap=sorted(overlap),
        )
        write_json(folder / RECORD, record.model_dump())
        if ShardPlan.open(request.store).sha256 != plan.sha256:
            raise ConfigError(
                f"the shards of {request.store} were planned anew meanwhile",
                hint=f"prepare it again: --shard {shard}",
            )
        publish(folder, path)
    return record, False


def merge_shards(request: PreparationRequest) -> PreparationResult:
    """Make the token store of its shards, and remove them; or find that this is done.

    Raises ConfigError where shards are missing or others were planned, CorpusError where one is
    damaged.
    """
    folder, store = shards_folder(request.store), request.store
    restore_replaced(store)
    if not folder.exists() and store.exists() and not request.overwrite:
        return prepare(request)  # which finds it done, or refuses other settings
    plan = ShardPlan.open(store)
    plan.refuse_other(request, links=True)
    if store.exists() and not request.overwrite:
        found = already_prepared(store, plan.planned.key)
        shutil.rmtree(folder)  # a merge was interrupted at its end
        return found
    refuse_to_replace(store)
    plan.refuse_missing()
    linked = request.links is not None
    texts = [VALID, *(corpus.name for corpus in request.corpora if linked)]
    plan.refuse_changed_texts(request, texts)
    with WorkingFolder(store) as partial:
        joint = plan.planned.config.joint
        if not reuse_models(partial, folder / PLAN, plan.content.piece_key, joint=joint):
            raise CorpusError(f"the pieces in {folder} are damaged", hint=PLAN_AGAIN)
        encoder = SplitEncoder(
            partial, partial, plan.planned.config, request.processes, request.progress
        )
        train, overlap = _join(partial, plan, encoder, request)
        complete(partial, request, plan.planned, encoder, train, overlap=overlap)
    merged = TokenStore.open(store)
    shutil.rmtree(folder)
    return PreparationResult(merged, ())


def _join(
    folder: Path, plan: ShardPlan, encoder: SplitEncoder, request: PreparationRequest
) -> tuple[EncodedSplit, int]:
    """The training split of all shards, one after the other; and the overlap with validation."""
    described = encoder.describe_vocabulary()
    dtype = np.dtype(described["dtype"])
    target_pieces: npt.NDArray[np.bool_] = np.zeros(described["target_vocabulary"], bool)
    parts, overlap = list[EncodedPart](), set[int]()
    with writing_split(folder, "train", dtype=dtype) as writer:
        for number in range(1, plan.count + 1):
            shard = Shard(number, plan.count)
            record = plan.read(shard)
            split = plan.split_of(shard, record, dtype)
            for first in range(0, len(split), _BLOCK):
                last = min(first + _BLOCK, len(split))
                offsets = split.offsets[2 * first : 2 * last + 1]
                ids = split.ids[offsets[0] : offsets[-1]]
                writer.append(ids, np.diff(offsets), split.lines[first:last])
            parts += (part.encoded() for part in record.parts)
            target_pieces[record.target_pieces] = True
            overlap |= {*record.overlap}
            request.progress("merge", number, plan.count)
    return EncodedSplit(parts, writer.hashes, target_pieces), len(overlap)
