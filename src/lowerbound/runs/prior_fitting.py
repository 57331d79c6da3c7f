"""fit_prior: a new run with the networks of a finished one and a prior fitted to codes of its training examples."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lowerbound.data.sources import Splits
from lowerbound.evaluation.comparison import compare
from lowerbound.evaluation.quick_evaluation import evaluate_quick
from lowerbound.evaluation.results import Results, read_results
from lowerbound.foundation.errors import ConfigError, LowerboundError, UnknownName, UsageError
from lowerbound.foundation.number_format import format_difference
from lowerbound.foundation.ranges import check_number
from lowerbound.foundation.run_identity import CONFIG, MODEL, RunPath, path_of, run_id, sealed
from lowerbound.foundation.seeding import generator
from lowerbound.foundation.storage import copy_folder, temporary_folder
from lowerbound.foundation.text import pluralise
from lowerbound.foundation.text_files import write_toml
from lowerbound.models.construction import build_model
from lowerbound.models.vae import VAE
from lowerbound.probability.mixture_prior import NUM_COMPONENTS
from lowerbound.probability.prior import Prior
from lowerbound.probability.spaces import REAL, CodeVectors
from lowerbound.runs.experiment import Experiment
from lowerbound.runs.finished_run import Run, load_run
from lowerbound.runs.free_directory import check_is_free
from lowerbound.runs.preparation import choose_device
from lowerbound.runs.run import SILENT, Callbacks, Job, calibrate, finish
from lowerbound.runs.run_data import StoredRun, own_splits, read_stored
from lowerbound.runs.run_lock import writing_into
from lowerbound.runs.run_log import RunLog, read_epochs, read_log
from lowerbound.runs.trained_model import TrainedModel, load
from lowerbound.training.checkpoint import save_model
from lowerbound.training.prior_fits import FITS, Codes, FitConfig, FitProgress, check_fit, draw_codes


def _for_latents(config: FitConfig, model: VAE) -> FitConfig:
    """The configuration with the sizes of discrete codes; ConfigError for a prior of other latents than the model's."""
    if model.level_names:
        raise ConfigError(
            f"the model has {len(model.level_names)} levels of latents, whose prior its networks have learned; priors "
            "are fitted to models with one."
        )
    space, name = model.posterior.space, model.config.posterior
    if config.kind == "autoregressive":
        if not isinstance(space, CodeVectors):
            raise ConfigError(
                f"a prior 'autoregressive' is fitted to discrete codes; those of posterior {name!r} are {space.about}; "
                "fit another kind of prior, or train posterior 'vq', 'residual-vq' or 'fsq'."
            )
        return replace(config, codes=dict(space.prior_options))
    if space != REAL:
        advice = "; fit kind 'autoregressive' to them" if isinstance(space, CodeVectors) else ""
        raise ConfigError(
            f"a prior {config.kind!r} is fitted to real latents; those of posterior {name!r} are {space.about}, whose "
            f"prior is {model.config.prior!r}{advice}."
        )
    return config


def fit_prior(
    run: RunPath,
    kind: str = "mixture-of-normals",
    *,
    components: int | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    data: str = "",
    data_dir: str = "",
    device: str = "auto",
    command: str = "",
    callbacks: Callbacks = SILENT,
) -> Run:
    """Fit a prior to the codes of a run's training examples, and write a run with it into the directory `out`.

    Networks, posterior and likelihood are those of `run`, which is not changed, so that `compare` shows what the prior
    alone gains. The codes are draws from q(z|x), or the codes of a plain autoencoder, from which samples can then be
    drawn. `components` is the number of normals of a mixture, by default 10. Nothing is written before the new run is
    complete.

    Raises UnknownName for another kind than those in FITS, ConfigError for more components than codes, UsageError if
    `out` is not empty, RunError for a damaged run, and DataError if its data cannot be read.
    """
    config = _checked(FitConfig(kind=kind, seed=seed), components)
    path, target = path_of(run), None if out is None else Path(out)
    if target is not None:
        check_is_free(target, can_resume=False)
    stored, trained, epochs = read_stored(path), load(path), read_epochs(path)
    config = _for_latents(config, trained.vae)
    splits, chosen = own_splits(path, data=data, data_dir=data_dir), choose_device(device)
    experiment = with_prior(stored.experiment, config)
    model = with_fitted(trained.vae, experiment, _fitted(trained.vae.to(chosen), splits, config, chosen, callbacks))
    made = temporary_folder()
    content = _config(stored, experiment, config, path, command, data)
    job = Job(made, experiment, splits, chosen, callbacks)
    _write(job, model.to(chosen), content, path, epochs)
    if target is not None:
        with writing_into(target):
            check_is_free(target, can_resume=False)
            copy_folder(made, target)
    finished = load_run(target or made)
    if not trained.vae.is_deterministic:
        callbacks.message(_gain(path, finished.results))
    return finished


def _checked(config: FitConfig, components: int | None) -> FitConfig:
    if config.kind not in FITS:
        raise UnknownName("kind of prior", config.kind, FITS)
    if components is None:
        return config
    if "num_components" not in config.options:
        raise UsageError(f"components are those of a mixture of normals; a prior {config.kind!r} has none.")
    check_number("components", components, NUM_COMPONENTS)
    return replace(config, num_components=components)


def with_prior(experiment: Experiment, config: FitConfig) -> Experiment:
    """The experiment with another prior; a rate in closed form becomes one by Monte Carlo if there is none."""
    model = replace(experiment.model, prior=config.kind, prior_options=dict(config.options))
    objective = experiment.objective
    return replace(
        experiment,
        model=model,
        objective=replace(objective, rate="auto") if objective.rate == "analytic" else objective,
    )


def _fitted(model: VAE, splits: Splits, config: FitConfig, device: torch.device, callbacks: Callbacks) -> Prior:
    check_fit(config, len(splits.train))
    callbacks.stage("encoding training examples", 0, 1)
    held_out = splits.validation if splits.monitored == "validation" else splits.test
    train, held = (
        draw_codes(model, examples, generator(config.seed, f"fit prior/codes/{name}", device), device)
        for name, examples in (("train", splits.train), ("held out", held_out))
    )
    examples = pluralise(len(splits.train), "training example")
    callbacks.message(f"fitting {config.kind} to {pluralise(len(train), 'code')} of {examples}")
    callbacks.stage("fitting the prior", 0, 1)
    progress = FitProgress(lambda done, total: callbacks.stage("fitting the prior", done, total), callbacks.should_stop)
    return FITS[config.kind](Codes(train, held), model.latent_dim, config, progress)


def with_fitted(model: VAE, experiment: Experiment, prior: Prior) -> VAE:
    """A model with the weights of another one, except for its prior."""
    fitted = build_model(
        experiment.model,
        model.event_shape,
        generator(0, "replaced"),
        columns=model.columns,
        conditions=model.conditions,
    )
    weights = {name: value for name, value in model.state_dict().items() if not name.startswith("prior.")}
    of_prior = {f"prior.{name}": value for name, value in prior.state_dict().items()}
    fitted.load_state_dict(weights | of_prior)
    return fitted.eval()


def _config(
    stored: StoredRun, experiment: Experiment, config: FitConfig, path: Path, command: str, data: str
) -> dict[str, Any]:
    """The content of config.toml: that of the old run with the new prior, and where it comes from."""
    old, settings = stored.content["run"], experiment.settings()
    fit = {"fitted_from": old["id"], "fit_seed": config.seed}
    kept = {key: value for key, value in old.items() if key != "earlier_ids"}
    moved = {"data_path": str(Path(data).expanduser().resolve())} if data and Path(data).expanduser().exists() else {}
    run = kept | fit | moved | {"id": run_id(settings | {"fit": fit}, old["data_checksum"]), "command": command}
    return sealed({**stored.content, **settings, "run": {**run, "fitted_from_path": str(path.resolve())}})


def _write(job: Job, model: VAE, content: dict[str, Any], old: Path, epochs: tuple[dict[str, Any], ...]) -> None:
    """Write a complete run into the job's directory: configuration, model, log of training, results and report."""
    splits = job.splits
    assert splits.schema is not None
    write_toml(job.path / CONFIG, content)
    save_model(job.path / MODEL, model, splits.schema, {"data_checksum": splits.checksum})
    RunLog(job.path).rewrite(read_log(old))
    job.callbacks.stage("evaluating and drawing the report", 0, 1)
    results = evaluate_quick(
        model,
        splits,
        job.experiment.evaluation,
        job.device,
        trained_with=job.experiment.trained_with,
    )
    calibrate(job, model)
    finish(job, TrainedModel(model, splits.schema, job.path), results, epochs)


def _gain(old: Path, results: Results) -> str:
    """How the rate of the test examples changed, paired by example."""
    try:
        rate = compare([(old.name, read_results(old)), ("fitted", results)]).score("rate")
    except LowerboundError as error:  # the old run's results are missing or damaged
        return f"not compared with {old.name}: {error}"
    if rate is None or (change := rate.rows[1].difference) is None:
        return f"not compared with {old.name}, whose results have no rate of each example; evaluate it again"
    return f"rate: {format_difference(change)} nats from {old.name}, paired by test example"
