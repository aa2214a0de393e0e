"""Who should see which film: the lecture's other use of attention, on the public attention API.

    python scripts/recommend_films.py
    python scripts/recommend_films.py --score additive --heads 4 --worlds 5 --json

User profiles are the queries (Q), film profiles the keys (K), film embeddings the values (V). W_Q,
W_K, W_V and the embeddings are learnt from ratings. No package that this project depends on ships
film ratings, so they are invented, in one world for each seed: people have tastes, but a profile
has only an age band and the genres that somebody *says* to like; well-known films are seen more
often; and part of every taste is in no profile at all. The films that a user liked among the
held-out ratings have to be found among all films but those trained on.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cli.terminal.console import note, write_json, write_line
from cli.terminal.drawing import draw
from cli.terminal.screen import stdout_console, table
from seq2seq.attention import MultiHeadAttention
from seq2seq.attention.scores import SCORES
from seq2seq.rendering.text import draw_matrix
from seq2seq.system.files import replacing

Floats: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]

TITLES = {  # invented, like all the rest
    "crime": (
        "Salt Verdict", "Nine Alibis", "The Quiet Safe", "Cold Ledger",
        "Harbour Debt", "Two Keys", "Ash Witness", "Night Tariff",
        "Broken Seal", "Pale Motive", "Low Bridge", "Last Warrant",
    ),
    "drama": (
        "The Long Table", "Her Orchard", "Winter Lease", "Sons of Tin",
        "Plain Song", "Open Gate", "A Small Estate", "Chalk Hill",
        "The Visit Home", "Borrowed Coat", "Slow River", "Ember",
    ),
    "comedy": (
        "Wrong Wedding", "Goat Season", "Uncle Voltage", "Soup for Ten",
        "The Bad Choir", "Hats Askew", "Mayor by Error", "Flat Tyres",
        "Twin Dentists", "My Loud House", "Cake Crisis", "Oh, Edgar",
    ),
    "romance": (
        "Paper Tulips", "Second Letter", "Tea at Noon", "Your Umbrella",
        "Lisbon Twice", "Quince", "The Slow Waltz", "Half a Moon",
        "Dear Ferryman", "Room for Two", "April Debts", "Nearly Us",
    ),
    "sci-fi": (
        "Orbit of Glass", "Sleep Engine", "The Ninth Moon", "Copy of Anna",
        "Red Gravity", "Zero Tide", "Silent Relay", "Mars Tenants",
        "Last Uplink", "Dust Machine", "Xenon Bay", "Echo Colony",
    ),
    "horror": (
        "The Wet Stair", "Teeth of Corn", "No. 13 Annex", "Hollow Choir",
        "Moth Season", "Attic Tenant", "Cellar Hymn", "It Knocks",
        "Grey Nursery", "Black Milk", "Under Ice", "Do Not Wake",
    ),
    "animation": (
        "Pip and Whale", "Tin Bear", "Cloud Bakery", "Foxes at Sea",
        "Snail Express", "Little Comet", "Bee Parade", "Moss Kingdom",
        "The Kite Thief", "Robot Uncle", "Lumi", "Seven Owls",
    ),
    "documentary": (
        "Eel Year", "Bread Makers", "The Salt Road", "Deep Signal",
        "One Glacier", "Bridge Men", "Loom", "City of Bees",
        "Night Trains", "The Seed Bank", "Wind Farmers", "Clay",
    ),
}  # fmt: skip
GENRES = tuple(TITLES)
ERAS = ("1970s", "1980s", "1990s", "2000s", "2010s")
AGES = ("under 25", "25-34", "35-49", "50-64", "over 64")
NAMES = ("Noor", "Bram", "Ines", "Tomo", "Aleks", "Marit", "Joon", "Safia")  # users in the map
HIDDEN = 3  # dimensions of taste that are in no profile
LIKED = 4  # stars
HELD_OUT = 0.3  # of the ratings of a user
EMBEDDING_SIZE = 16  # of a film's embedding, and of all heads together
TOP = 10
COLUMNS = 2  # films that each user adds to the map
PICKS = 3  # films recommended to each user
FIRST, LAST = "<!-- recommend_films: from here -->", "<!-- recommend_films: to here -->"


@dataclass(frozen=True)
class World:
    """Films, users and ratings. U users, F films."""

    titles: tuple[str, ...]  # F
    labels: tuple[str, ...]  # U: the profile in words
    films: Floats  # [F, D_k] what is known of a film: genres, era, pace
    users: Floats  # [U, D_q] what is known of a user: age band, favourites as stated
    stars: NDArray[np.int64]  # [U, F] 1 to 5; 0 where the user has not seen the film
    held_out: Flags  # [U, F] rated, but not trained on
    ceiling: Floats  # [U, F] log-probability that a film is seen and liked, if tastes were known

    @property
    def trained_on(self) -> Flags:
        """Whether the rating is trained on. [U, F]"""
        return (self.stars > 0) & ~self.held_out

    @property
    def liked(self) -> Flags:
        return self.stars >= LIKED


class Quality(NamedTuple):
    """Means over users who liked a held-out film; all from 0 to 1, more is better."""

    ndcg: float  # of the first ten
    hits: float  # share of users with a film they liked among their first ten
    auc: float  # share of pairs (film that they liked, any other candidate) in the right order


class Advice(NamedTuple):
    """How well every film fits every user, [U, F]; more is better."""

    weights: Floats  # the attention map: rows sum to 1, 0 for what was trained on
    tastes: Floats  # context . embedding, and how well known the film is (log)


class Recommender(nn.Module):
    """C = softmax(f(Q W_Q, K W_K) + M) V W_V; M is how well known a film is, -inf if seen."""

    def __init__(self, world: World, *, score: str, heads: int) -> None:
        super().__init__()
        count, film_width = world.films.shape
        embeddings = torch.randn(count, EMBEDDING_SIZE) / EMBEDDING_SIZE**0.5
        self.embeddings = nn.Parameter(embeddings)  # V
        self.attention = MultiHeadAttention(
            query_size=world.users.shape[1],
            key_size=film_width,
            value_size=EMBEDDING_SIZE,
            size=EMBEDDING_SIZE,
            heads=heads,
            score=score,
            positions=count,
        )

    def forward(self, users: Tensor, films: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """users [U, D_q], films [F, D_k], mask [F] or [U, F], added to the scores

        -> weights [U, F], the mean of all heads; context [U, D_v], each user's taste
        """
        context, weights = self.attention(users, films, self.embeddings, mask)
        return weights.mean(-3), context  # [heads, U, F] before the mean


class Ranked(NamedTuple):
    """The quality of one ranking in every world."""

    name: str
    qualities: tuple[Quality, ...]


class Report(NamedTuple):
    rankings: tuple[Ranked, ...]
    world: World  # the first one
    advice: Advice  # of the first score, in that world


class Figure(NamedTuple):
    """Mean and standard deviation over worlds; a single world has no deviation."""

    mean: float
    deviation: float | None


def main() -> None:
    arguments = _arguments()
    if arguments.write_page:
        write_page(arguments.write_page)
        return
    torch.set_num_threads(1)
    report = compare(
        arguments.score,
        heads=arguments.heads,
        seeds=_seeds(arguments),
        users=arguments.users,
        updates=arguments.updates,
    )
    if arguments.json:
        write_json(as_json(report, arguments))
    else:
        show(report, arguments)


def compare(
    scores: Sequence[str], *, heads: int, seeds: Sequence[int], users: int, updates: int
) -> Report:
    """Rank films at random, by popularity, by attention, and by the true tastes."""
    rankings: dict[str, list[Quality]] = {}
    first: tuple[World, Advice] | None = None
    for seed in seeds:
        world = make_world(seed, users=users)
        # The control: the same ratings, each with the profile of another user.
        shuffled = replace(world, users=_generator("deal", seed).permutation(world.users))
        scored = {
            "random": _generator("random", seed).random(world.stars.shape),
            "popularity": np.tile(popularity(world), (users, 1)),
        }
        for score in scores:
            advice = advise(world, score=score, heads=heads, updates=updates, seed=seed)
            scored[f"{score}: weights"] = advice.weights
            scored[f"{score}: context"] = advice.tastes
            first = first or (world, advice)
        control = advise(shuffled, score=scores[0], heads=heads, updates=updates, seed=seed)
        scored[f"{scores[0]}, profiles swapped"] = control.weights
        scored["(tastes known)"] = world.ceiling
        for name, ranking in scored.items():
            rankings.setdefault(name, []).append(quality(ranking, world))
        note(f"world {seed}: done")
    assert first is not None
    return Report(tuple(Ranked(name, tuple(each)) for name, each in rankings.items()), *first)


def figures(ranked: Ranked, report: Report) -> dict[str, Figure]:
    """The figures of one ranking; the gain over popularity is taken world by world."""
    (popular,) = (other for other in report.rankings if other.name == "popularity")
    pairs = zip(ranked.qualities, popular.qualities, strict=True)
    return {
        "ndcg_at_10": _figure([each.ndcg for each in ranked.qualities]),
        "hits_at_10": _figure([each.hits for each in ranked.qualities]),
        "auc": _figure([each.auc for each in ranked.qualities]),
        "ndcg_over_popularity": _figure([own.ndcg - other.ndcg for own, other in pairs]),
    }


def show(report: Report, arguments: argparse.Namespace) -> None:
    """Print the quality of each ranking, attention weights, and recommendations."""
    console = stdout_console()
    width = arguments.width or console.width
    seeds = _seeds(arguments)
    worlds = f"mean ± deviation over {len(seeds)} worlds" if len(seeds) > 1 else "1 world"
    heads = "1 head" if arguments.heads == 1 else f"{arguments.heads} heads"
    rows = [
        (ranked.name, *(_shown(figure) for figure in figures(ranked, report).values()))
        for ranked in report.rankings
    ]
    columns = ("ranked by", "NDCG@10", "hits@10", "AUC", "NDCG over popularity")
    console.print(table(f"Held-out films that users liked; {worlds}, {heads}", columns, rows))

    users, films, weights = _map(report)
    write_line("")
    write_line(
        f"Attention of users in world {seeds[0]} ({arguments.score[0]}), in hundredths of a row"
    )
    write_line(f"over {len(report.world.titles)} films; films rated in training get exactly 0")
    draw(draw_matrix(users, films, weights, width=width, style="values"), console)

    write_line("")
    title = "Nearest to each context vector; * is held out, and liked"
    picked = [(name, ", ".join(picks)) for name, picks in _recommended(report).items()]
    console.print(table(title, ("user", "films"), picked))


def as_json(report: Report, arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything that `show` prints, for programs."""
    users, films, weights = _map(report)
    return {
        "schema_version": 1,
        "scores": arguments.score,
        "heads": arguments.heads,
        "updates": arguments.updates,
        "users": arguments.users,
        "seeds": list(_seeds(arguments)),
        "rankings": [
            {"name": ranked.name}
            | {name: _rounded(figure) for name, figure in figures(ranked, report).items()}
            for ranked in report.rankings
        ],
        "attention": {
            "users": users,
            "films": films,
            "weights": [[round(weight, 4) for weight in row] for row in weights.tolist()],
        },
        "recommended": _recommended(report),
    }


def write_page(page: Path) -> None:
    """Write this script's output, and the machine it ran on, between two markers of a page."""
    program = Path(sys.executable).with_name("seq2seq")
    facts = json.loads(subprocess.check_output([program, "doctor", "--json"]))
    unwanted = ("COLUMNS", "FORCE_COLOR")
    environment = {name: value for name, value in os.environ.items() if name not in unwanted}
    out = subprocess.check_output([sys.executable, __file__], env=environment, text=True)
    machine, versions = facts["machine"], facts["versions"]
    conditions = (
        f"Seen on {date.today()} on {machine['processor']}, {machine['cores']} cores, one of them "
        f"used, with Python {versions['python']} and torch {versions['torch']}:"
    )
    command = "$ python scripts/recommend_films.py"
    lines = [line.rstrip() for line in out.splitlines()]
    block = "\n".join([FIRST, conditions, "", "```console", command, *lines, "```", LAST])
    before, _, rest = page.read_text(encoding="utf-8").partition(FIRST)
    _, marker, after = rest.partition(LAST)
    if not marker:
        raise SystemExit(f"{page} has no lines {FIRST} and {LAST}")
    with replacing(page) as partial:
        partial.write_text(before + block + after, encoding="utf-8")


def make_world(seed: int, *, users: int) -> World:
    """Draw films, users with tastes, and their ratings."""
    film_rng, user_rng, rating_rng = (_generator(use, seed) for use in ("films", "users", "rate"))
    count = sum(map(len, TITLES.values()))

    main = np.repeat(np.eye(len(GENRES)), [len(titles) for titles in TITLES.values()], axis=0)
    second = np.eye(len(GENRES))[film_rng.integers(len(GENRES), size=count)]
    genres = np.maximum(main, 0.5 * second * (film_rng.random((count, 1)) < 0.5))  # [F, 8]
    era = film_rng.integers(len(ERAS), size=count)
    pace = film_rng.uniform(-1, 1, count)  # slow to fast
    films = np.hstack([genres, np.eye(len(ERAS))[era], pace[:, None]])
    fame = film_rng.normal(0, 1.0, count)  # how many have heard of it, as a logarithm
    merit = film_rng.normal(0, 0.5, count)
    hidden_films = film_rng.normal(0, 1, (count, HIDDEN))

    age = user_rng.integers(len(AGES), size=users)
    taste = user_rng.normal(0, 1, (users, len(GENRES)))  # [U, 8]
    stated = _stated(taste, user_rng)  # [U, 8]
    favourite_era = len(ERAS) - 1 - age + user_rng.normal(0, 0.8, users)  # of one's youth
    patience = 0.4 * (age - 2) + user_rng.normal(0, 0.7, users)
    hidden_users = user_rng.normal(0, 1, (users, HIDDEN))

    affinity = (  # [U, F], about 0 on average
        taste @ genres.T
        - 0.5 * (np.abs(favourite_era[:, None] - era) - 1.5)
        - 0.8 * patience[:, None] * pace
        + 0.4 * hidden_users @ hidden_films.T
        + merit
    )
    appeal = fame + 0.5 * affinity
    seen = _seen(appeal, rating_rng)
    verdict = 3.3 + 0.8 * affinity  # in stars, before the mood of the day
    mood = 0.7 * rating_rng.normal(0, 1, verdict.shape)
    stars = np.where(seen, (verdict + mood).round().clip(1, 5), 0).astype(np.int64)
    likes = torch.special.log_ndtr(torch.from_numpy((verdict - LIKED + 0.5) / 0.7)).numpy()
    return World(
        titles=tuple(title for titles in TITLES.values() for title in titles),
        labels=tuple(
            f"{AGES[a]}, {' + '.join(np.array(GENRES)[said])}"
            for a, said in zip(age, stated, strict=True)
        ),
        films=films,
        users=np.hstack([np.eye(len(AGES))[age], stated]),
        stars=stars,
        held_out=seen & (rating_rng.random(seen.shape) < HELD_OUT),
        ceiling=appeal + likes,
    )


def popularity(world: World) -> Floats:
    """The share of training likes that each film has, as a logarithm. [F]"""
    likes = (world.liked & world.trained_on).sum(axis=0) + 1.0
    shares: Floats = np.log(likes / likes.sum())
    return shares


def advise(world: World, *, score: str, heads: int, updates: int, seed: int) -> Advice:
    """Learn from the training ratings, then attend to the films not seen yet.

    The loss is cross-entropy, twice: of the liked films under the attention weights, and under
    the softmax of context . embedding + M. The films a user liked share a weight of 1.
    """
    torch.manual_seed(seed)
    model = Recommender(world, score=score, heads=heads)
    users, films, known_well = (
        torch.from_numpy(values).float() for values in (world.users, world.films, popularity(world))
    )
    likes = torch.from_numpy(world.liked & world.trained_on).float()  # [U, F]
    likes = likes / likes.sum(dim=1, keepdim=True).clamp(min=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=1e-4)
    for _ in range(updates):
        weights, context = model(users, films, known_well)
        guesses = (context @ model.embeddings.T + known_well).log_softmax(dim=-1)  # [U, F]
        loss = -(likes * (weights.clamp(min=1e-9).log() + guesses)).sum() / len(users)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        _, context = model(users, films, known_well)
        tastes = context @ model.embeddings.T + known_well
        seen = torch.from_numpy(world.trained_on)
        weights, _ = model(users, films, known_well.masked_fill(seen, float("-inf")))
    return Advice(weights.double().numpy(), tastes.double().numpy())


def quality(scores: Floats, world: World) -> Quality:
    """How well scores [U, F] find what users liked among all films that were not trained on."""
    wanted = world.held_out & world.liked
    rows = wanted.any(axis=1)
    wanted, candidates = wanted[rows], ~world.trained_on[rows]
    ranked = np.where(candidates, scores[rows], -np.inf)
    order = (-ranked).argsort(axis=1, kind="stable")
    found = np.take_along_axis(wanted, order, axis=1)[:, :TOP]
    discounts = 1 / np.log2(np.arange(2, TOP + 2))
    best = discounts.cumsum()[np.minimum(wanted.sum(axis=1), TOP) - 1]
    pairs = [
        np.subtract.outer(row[yes], row[maybe & ~yes])
        for row, yes, maybe in zip(ranked, wanted, candidates, strict=True)
    ]
    return Quality(
        ndcg=float(((found * discounts).sum(axis=1) / best).mean()),
        hits=float(found.any(axis=1).mean()),
        auc=float(np.mean([((gap > 0) + 0.5 * (gap == 0)).mean() for gap in pairs])),
    )


def _stated(taste: Floats, rng: np.random.Generator) -> Flags:
    """The two genres that people say they like: the largest of their tastes with noise."""
    said = (taste + rng.normal(0, 0.7, taste.shape)).argsort(axis=1)[:, -2:]
    stated = np.zeros(taste.shape, bool)
    np.put_along_axis(stated, said, True, axis=1)
    return stated


def _seen(appeal: Floats, rng: np.random.Generator) -> Flags:
    """12 to 36 films for each user, drawn without replacement in proportion to e^appeal."""
    order = (-(appeal + rng.gumbel(size=appeal.shape))).argsort(axis=1).argsort(axis=1)
    return order < rng.integers(12, 37, size=(len(appeal), 1))


def _generator(use: str, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(use.encode())])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--score",
        nargs="+",
        choices=tuple(SCORES),
        default=["dot", "general", "additive"],
        help="how users are compared with films; the map is drawn for the first",
    )
    parser.add_argument("--heads", type=int, choices=(1, 2, 4, 8), default=1)
    parser.add_argument("--seed", type=int, default=0, help="of the first world")
    parser.add_argument("--worlds", type=_at_least(1), default=5, help="worlds to draw and learn")
    parser.add_argument("--users", type=_at_least(50), default=1000)
    parser.add_argument("--updates", type=_at_least(1), default=100)
    parser.add_argument("--width", type=_at_least(20), help="columns of the map")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    parser.add_argument("--write-page", type=Path, metavar="PAGE", help="docs/attention.md")
    arguments = parser.parse_args()
    arguments.score = list(dict.fromkeys(arguments.score))
    film_width = len(GENRES) + len(ERAS) + 1
    if "location" in arguments.score and film_width % arguments.heads:
        parser.error(
            f"argument --heads: location leaves film profiles as they are, and {film_width} "
            f"features cannot be cut into {arguments.heads} heads"
        )
    return arguments


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is less than {least}")
        return int(text)

    return number


def _seeds(arguments: argparse.Namespace) -> range:
    return range(arguments.seed, arguments.seed + arguments.worlds)


def _figure(numbers: Sequence[float]) -> Figure:
    return Figure(
        statistics.fmean(numbers), statistics.stdev(numbers) if len(numbers) > 1 else None
    )


def _shown(figure: Figure) -> str:
    mean, deviation = figure
    return f"{mean:.3f}" if deviation is None else f"{mean:.3f} ± {deviation:.3f}"


def _rounded(figure: Figure) -> dict[str, float | None]:
    mean, deviation = figure
    return {
        "mean": round(mean, 4),
        "deviation": None if deviation is None else round(deviation, 4),
    }


def _map(report: Report) -> tuple[list[str], list[str], Floats]:
    """The first users, the films of their largest weights, and those weights."""
    weights = report.advice.weights[: len(NAMES)]
    films = sorted({film for row in weights for film in (-row).argsort()[:COLUMNS].tolist()})
    return _users(report), [report.world.titles[film] for film in films], weights[:, films]


def _recommended(report: Report) -> dict[str, list[str]]:
    """For each user of the map, the unseen films nearest to the context vector."""
    world = report.world
    tastes = np.where(world.trained_on, -np.inf, report.advice.tastes)[: len(NAMES)]
    right = world.held_out & world.liked
    return {
        user: [
            world.titles[film] + "*" * int(right[row, film])
            for film in (-tastes[row]).argsort(kind="stable")[:PICKS].tolist()
        ]
        for row, user in enumerate(_users(report))
    }


def _users(report: Report) -> list[str]:
    return [f"{name}, {label}" for name, label in zip(NAMES, report.world.labels, strict=False)]


if __name__ == "__main__":
    main()
