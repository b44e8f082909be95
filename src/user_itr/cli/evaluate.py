"""`user-itr evaluate`: recall both ways of checkpoints, embeddings or a similarity matrix."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

from user_itr.cli.printing import printable
from user_itr.errors import ConfigError, DataError

if TYPE_CHECKING:
    from user_itr.evaluation.evaluating import Request, Truths
    from user_itr.evaluation.inputs.files import ScoreFiles
    from user_itr.evaluation.items import Items
    from user_itr.evaluation.ranks import TieRule
    from user_itr.evaluation.result import EvaluationResult, Fusion
    from user_itr.evaluation.sources import ScoreRule, Source, Taking
    from user_itr.model.embedder import Embedder, TextDtype
    from user_itr.model.split_embeddings import LoadedSplit
    from user_itr.runtime.dual_encoders.encoder import PublishedEncoder


def evaluate_command(
    models: list[str] = typer.Argument(
        ...,
        metavar="MODEL...",
        help="Checkpoint, or run (its best one); published dual encoder (CLIP, SigLIP); a name of "
        "`user-itr models` or of the Hugging Face hub that was fetched; folder with "
        "images and captions as .npy, .npz, .safetensors, .pt or Parquet, in any order with "
        "image_ids and caption_ids beside them; a similarity matrix, or i2t and t2i. Several make "
        "an ensemble.",
    ),
    data: Path | None = typer.Option(
        None, "--data", help="Captioned set; by default the one of the training."
    ),
    split: str = typer.Option("test", "--split", help="Split to evaluate."),
    format: str = typer.Option("auto", "--format", help="Reader of the captioned set."),
    images: Path | None = typer.Option(None, "--images", help="Image folder of the set."),
    ids: Path | None = typer.Option(
        None,
        "--ids",
        help="dataset_coco.json with MSCOCO's ids of a set without them, like SCAN's folder, for "
        "--cxc and --eccv.",
    ),
    features: Path | None = typer.Option(
        None, "--features", help="Feature store; one in the cache folder by default."
    ),
    caption_image: Path | None = typer.Option(
        None,
        "--caption-image",
        help="In place of --data, for files without a set: .npy with each caption's image row.",
    ),
    image_ids: Path | None = typer.Option(
        None, "--image-ids", help="Ids of the rows of images: .txt, .json or .npy."
    ),
    caption_ids: Path | None = typer.Option(
        None, "--caption-ids", help="Ids of the rows of captions: .txt, .json or .npy."
    ),
    captions_per_image: int | None = typer.Option(
        None, "--captions-per-image", help="Only the first N captions of each image: 5 for MSCOCO."
    ),
    score: str = typer.Option(
        "auto",
        "--score",
        help="auto; cosine; dot, products and matrices as they are; distance, the least is best.",
    ),
    transposed: bool = typer.Option(False, "--transposed", help="The matrix is captions x images."),
    text_dtype: str = typer.Option(
        "float32",
        "--text-dtype",
        help="bfloat16: encode a checkpoint's captions twice as fast where the processor "
        "multiplies it (AMX, a GPU); recall may move by some tenths.",
    ),
    k: str = typer.Option("1,5,10", "--k", help="Cut-offs of the recall, with commas."),
    ties: str = typer.Option(
        "pessimistic", "--ties", help="Tie rule: pessimistic, expected or optimistic."
    ),
    fusion: str = typer.Option("mean", "--fusion", help="Several models by: mean or rank."),
    folds: int | None = typer.Option(
        None, "--folds", help="Also the mean over N equal folds: 5 for MSCOCO's 1K figures."
    ),
    resamples: int = typer.Option(
        2000,
        "--resamples",
        max=1_000_000,
        help="Draws behind the 95 % intervals; 0 for no intervals.",
    ),
    cxc: Path | None = typer.Option(
        None, "--cxc", help="Also Crisscrossed Captions, with its annotation files in this folder."
    ),
    eccv: bool = typer.Option(False, "--eccv", help="Also ECCV Caption (extra: eccv)."),
    pmrp: Path | None = typer.Option(
        None, "--pmrp", help="Also PMRP, with this MSCOCO instances_*.json."
    ),
    precision: bool = typer.Option(
        False, "--precision", help="Also mAP@R, R-Precision, nDCG, nDCG@10."
    ),
    normalise: float | None = typer.Option(
        None,
        "--normalise",
        metavar="SHARPNESS",
        help="Also, apart, recalls by scores relative to those of all queries (QB-Norm, inverted "
        "softmax; 20 in its paper), which a search does not know.",
    ),
    table: str | None = typer.Option(
        None, "--table", help="Print the tables as latex or markdown."
    ),
    json: Path | None = typer.Option(None, "--json", help="Also write the result to this file."),
    report: Path | None = typer.Option(
        None, "--report", help="Also write a page to look at, one .html file."
    ),
    queries: Path | None = typer.Option(
        None, "--queries", help="Also write a CSV row a query: rank and hits."
    ),
    lists: Path | None = typer.Option(
        None, "--lists", help="Also write each query's first candidates, as JSON lines."
    ),
    trec: Path | None = typer.Option(
        None, "--trec", help="Also write TREC runs and qrels into this folder."
    ),
    depth: int = typer.Option(100, "--depth", min=1, help="Candidates a query in these."),
) -> None:
    """Print recall at K, median and mean rank of both directions, and rsum."""
    from user_itr.evaluation.evaluating import Request, evaluate_sources
    from user_itr.evaluation.outputs import check_outputs
    from user_itr.evaluation.sources import Taking

    if fusion not in ("mean", "rank"):
        raise ConfigError(f"--fusion {fusion!r}: use mean or rank.")
    if text_dtype not in ("float32", "bfloat16"):
        raise ConfigError(f"--text-dtype {text_dtype!r}: use float32 or bfloat16.")
    if table not in (None, "latex", "markdown"):
        raise ConfigError(f"--table {table!r}: use latex or markdown.")
    if caption_image is not None and data is not None:
        raise ConfigError("--caption-image and --data exclude each other; give one.")
    if caption_image is not None and (images is not None or format != "auto"):
        raise ConfigError("--images and --format say how a set is read; give it with --data.")
    if (image_ids is not None or caption_ids is not None) and len(models) > 1:
        raise ConfigError("--image-ids and --caption-ids go with one model; put ids beside each.")
    request = Request(
        ks=_cutoffs(k),
        ties=cast("TieRule", ties),
        fusion=cast("Fusion", fusion),
        folds=folds,
        resamples=resamples,
        cxc=cxc,
        eccv=eccv,
        pmrp=pmrp,
        precision=precision,
        normalise=normalise,
        top=report is not None,
        lists=lists is not None or trec is not None,
    )
    taking = Taking(cast("ScoreRule", score), transposed)
    outputs = {"--json": json, "--report": report, "--queries": queries, "--lists": lists}
    check_outputs(outputs, {"--trec": trec})
    loading = _Loading(
        models,
        split,
        {"data": data, "format": format, "images": images, "ids": ids},
        features,
        caption_image,
        (image_ids, caption_ids),
        captions_per_image,
        taking,
        cast("TextDtype", text_dtype),
    )
    sources, items, truths = loading.sources(request)
    command = shlex.join(["user-itr", *sys.argv[1:]])
    result = evaluate_sources(sources, items.split, request, truths, command, items.notes)
    _print(result, table)
    _write(result, sources, outputs, trec, depth)


class _Loading:
    """Loads or embeds every model's scores of one split, once all that can be checked before is."""

    def __init__(
        self,
        names: list[str],
        split: str,
        given: dict[str, Any],
        features: Path | None,
        caption_image: Path | None,
        ids: tuple[Path | None, Path | None],
        captions_per_image: int | None,
        taking: Taking,
        text_dtype: TextDtype,
    ) -> None:
        self.names, self.split, self.given, self.features = names, split, given, features
        self.caption_image, self.ids, self.taking = caption_image, ids, taking
        self.captions_per_image, self.text_dtype = captions_per_image, text_dtype

    def sources(self, request: Request) -> tuple[list[Source], Items, Truths]:
        """Every model's scores, the items, and what is right by further protocols."""
        from user_itr.evaluation.inputs.files import open_score_files
        from user_itr.evaluation.sources import source_kind, source_of
        from user_itr.hub.names import announced_model

        paths = {name: announced_model(name).path for name in self.names}
        kinds = {name: source_kind(path) for name, path in paths.items()}
        checkpoints = {name: paths[name] for name, kind in kinds.items() if kind == "checkpoint"}
        given = {"--features": self.features, "--text-dtype": self.text_dtype != "float32"}
        for option, value in given.items():
            if value and not checkpoints:
                raise ConfigError(
                    f"{self.names[0]}: {option} goes with a checkpoint, not with files."
                )
        embedders, loaded = self._load_checkpoints(checkpoints)
        files = {
            name: open_score_files(paths[name], *self.ids)
            for name, kind in kinds.items()
            if kind == "files"
        }
        items = self._items(loaded, files)
        truths = request.prepare(items.split, len(self.names))
        found = {name: source_of(one, items, self.taking) for name, one in files.items()}
        for name, embedder in embedders.items():
            found[name] = self._embed(name, embedder, loaded[name], items)
        return [found[name] for name in self.names], items, truths

    def _refuse_for_checkpoints(self, name: str, alone: bool) -> None:
        if self.caption_image is not None:
            raise ConfigError(
                "--caption-image goes with files of scores; a checkpoint needs a set."
            )
        given = {
            "--image-ids": self.ids[0] is not None,
            "--caption-ids": self.ids[1] is not None,
            "--score": self.taking.score != "auto",
            "--transposed": self.taking.transposed,
        }
        for option, asked in given.items():
            if asked and alone:
                raise ConfigError(f"{name}: {option} goes with files of scores, not a checkpoint.")

    def _load_checkpoints(
        self, paths: dict[str, Path]
    ) -> tuple[dict[str, Embedder | PublishedEncoder], dict[str, LoadedSplit]]:
        if not paths:
            return {}, {}
        from user_itr.data.identity import split_key
        from user_itr.model.embedder import load
        from user_itr.model.split_embeddings import load_split
        from user_itr.runtime.dual_encoders.layout import is_published
        from user_itr.runtime.dual_encoders.loading import load_published

        embedders = {
            name: (
                load_published(path)
                if is_published(path)
                else load(path, text_dtype=self.text_dtype)
            )
            for name, path in paths.items()
        }
        published = [name for name, path in paths.items() if is_published(path)]
        if published and self.features is not None:
            raise ConfigError(f"{published[0]}: reads images themselves; leave --features out.")
        if published and self.text_dtype != "float32":
            raise ConfigError(f"{published[0]}: is computed in float32; leave --text-dtype out.")
        first = next(iter(paths))
        self._refuse_for_checkpoints(first, alone=len(paths) == len(self.names))
        loaded = {
            name: load_split(one, self.split, **self.given) for name, one in embedders.items()
        }
        for name, other in loaded.items():
            if split_key(other.split) != split_key(loaded[first].split):
                raise DataError(
                    f"{name}: was trained on another set than {first}, so that its {self.split} "
                    "split is another; give one set for all with --data."
                )
        return embedders, loaded

    def _items(self, loaded: dict[str, LoadedSplit], files: dict[str, ScoreFiles]) -> Items:
        from user_itr.data.coco_ids import with_coco_ids
        from user_itr.data.readers import load_captions
        from user_itr.evaluation.items import first_captions, read_owners
        from user_itr.evaluation.sources import items_of_files

        owners = self.caption_image
        data = self.given["data"]
        if loaded:
            whole = next(iter(loaded.values())).split
        elif data is not None:  # the pictures of ready-made embeddings are not looked at
            whole = load_captions(
                data,
                self.split,
                format=self.given["format"],
                images=self.given["images"],
                pictures=False,
            )
            if self.given["ids"] is not None:
                whole = with_coco_ids(whole, self.given["ids"])
        else:
            first = next(iter(files.values()))
            owner = None if owners is None else read_owners(owners)
            whole = items_of_files(first, self.split, owner, owners)
        return first_captions(whole, self.captions_per_image, None if loaded or data else owners)

    def _embed(
        self,
        name: str,
        embedder: Embedder | PublishedEncoder,
        loaded: LoadedSplit,
        items: Items,
    ) -> Source:
        from dataclasses import replace

        from user_itr.cli.progress import progress_of
        from user_itr.evaluation.sources import embeddings_source
        from user_itr.model.split_embeddings import embed_loaded

        loaded = replace(loaded, split=items.split)
        embedded = embed_loaded(embedder, loaded, progress_of, features=self.features)
        model = getattr(embedder, "model", None)  # a published one has no settings of a training
        return embeddings_source(
            name,
            "checkpoint",
            embedded.images,
            embedded.captions,
            embedder.fingerprint,
            None if model is None else model.settings.model_dump(mode="json"),
            notes=self._notes(name),
        )

    def _notes(self, name: str) -> tuple[str, ...]:
        if self.text_dtype == "float32":
            return ()
        return (f"{name}: captions were encoded in {self.text_dtype}",)


def _print(result: EvaluationResult, table: str | None) -> None:
    from rich.console import Console

    from user_itr.evaluation.report import metrics_table, rich_table
    from user_itr.evaluation.tables import as_latex, as_markdown, further_tables, main_table

    if table is not None:
        show = as_latex if table == "latex" else as_markdown
        tables = (main_table(result), *further_tables(result))
        lines = "\n\n".join(map(show, tables)).split("\n")
        typer.echo("\n".join(map(printable, lines)))
    else:
        console = Console()
        console.print(metrics_table(result.metrics, result.title, result.intervals))
        for one in further_tables(result):
            console.print(rich_table(one))
    for note in result.notes:
        typer.echo(f"note: {printable(note)}.", err=True)


def _write(
    result: EvaluationResult,
    sources: list[Source],
    outputs: dict[str, Path | None],
    trec: Path | None,
    depth: int,
) -> None:
    from user_itr.evaluation import exports
    from user_itr.evaluation.document import evaluation_document, write_document
    from user_itr.evaluation.page import write_page
    from user_itr.evaluation.scores import mean_scores

    json, report, queries, lists = outputs.values()
    if json is not None:
        write_document(json, evaluation_document(result))
        typer.echo(f"written to {json}", err=True)
    if report is not None:
        write_page(result, report)
        typer.echo(f"page written to {report}", err=True)
    if queries is not None:
        exports.write_queries(queries, result)
        typer.echo(f"queries written to {queries}", err=True)
    if lists is None and trec is None:
        return
    scores = mean_scores([source.scores for source in sources])
    ranked = exports.ranked_lists(result, scores, depth)
    if lists is not None:
        exports.write_lists(lists, result, ranked)
        typer.echo(f"lists written to {lists}", err=True)
    if trec is not None:
        exports.write_trec(trec, ranked, " + ".join(model.name for model in result.models))
        typer.echo(f"runs and qrels written to {trec}", err=True)


def _cutoffs(text: str) -> tuple[int, ...]:
    try:
        values = tuple(int(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or min(values) < 1:
        raise ConfigError(f"--k {text!r}: give whole numbers from 1 on with commas, like 1,5,10.")
    return values
