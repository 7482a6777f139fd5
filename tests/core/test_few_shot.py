"""Few-shot learning on images: files, features, tasks drawn by number, exact last layers, errors on new tasks."""

import dataclasses
import io
import pickle
import tarfile
import types
import zipfile

import jax
import numpy as np
import psutil
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

import helpers
from benchmark_utils.backends import get_backend
from benchmark_utils.builders.few_shot import drawn_tasks, few_shot
from benchmark_utils.files import images_by_class
from benchmark_utils.files.fetch import DataUnavailable
from benchmark_utils.problem.card import Card
from benchmark_utils.problem.namespace import xp
from benchmark_utils.problem.tasks import Adaptation, why_too_many
from benchmark_utils.problem.variables import unflatten
from benchmark_utils.terms.features import ORDERS, Convolutions

CARD = Card(title="made up", formula="", source="", licence="")
FRAMEWORKS = ("jax", "torch")


def made_up(side=8, channels=1, per_class=6, classes=(9, 4, 5), seed=0):
    """Return parts of random images, each class around a picture of its own."""
    rng, out, first = np.random.default_rng(seed), {}, 0
    for part, n in zip(("train", "validation", "test"), classes, strict=True):
        pictures = rng.integers(0, 200, (n, 1, side, side, channels))
        noise = rng.integers(0, 55, (n, per_class, side, side, channels))
        images = (pictures + noise).astype(np.uint8).reshape(-1, side, side, channels)
        out[part] = images, np.repeat(np.arange(first, first + n), per_class)
        first += n
    return out


def problem_of(network, warm=False, n_tasks=7, n_evaluated=3, ways=3):
    parts = made_up(network.side, network.channels)
    return few_shot(
        "made_up", parts, network, CARD, n_tasks=n_tasks, ways=ways, shots=2, queries=3, ridge=0.05, warm=warm,
        n_evaluated=n_evaluated, test_steps=4, test_step=0.3, seed=1,
    )  # fmt: skip


SMALL = Convolutions(8, 1, filters=2, blocks=2)


# ---------------------------------------------------------------------- features
@pytest.mark.parametrize("order", ORDERS)
def test_the_same_weights_give_the_same_features_on_every_backend(order):
    network = Convolutions(13, 3, filters=4, blocks=2, order=order, squashed=order == ORDERS[0])
    rng = np.random.default_rng(0)
    pool = rng.integers(0, 256, (10, 13, 13, 3)).astype(np.uint8)
    ids, flat = rng.integers(0, 10, (3, 6)).astype(float), network.start(rng)
    exact = network.features(xp, unflatten(xp, flat, network.shapes), {"images": ids, "pool": pool})
    assert exact.shape == (3, 6, network.n_features)
    for framework in FRAMEWORKS:
        bk = get_backend(framework, "cpu", "float32")
        rows = {"images": bk.asarray(ids), "pool": bk.asarray(pool)}
        found = network.features(bk.xp, unflatten(bk.xp, bk.asarray(flat), network.shapes), rows)
        assert_allclose(bk.to_numpy(found), exact, atol=1e-5)


def test_features_are_those_of_torchs_own_layers():
    torch = pytest.importorskip("torch")
    network, rng = Convolutions(13, 3, filters=4, blocks=2), np.random.default_rng(0)
    pool = rng.integers(0, 256, (6, 13, 13, 3)).astype(np.uint8)
    x = unflatten(xp, network.start(rng) + 0.1 * rng.standard_normal(helpers_size(network)), network.shapes)
    found = network.features(xp, x, {"images": np.arange(6.0)[None], "pool": pool})[0]
    a = torch.tensor(pool).permute(0, 3, 1, 2).double() / 255
    for k in range(2):
        of = {name: torch.tensor(x[f"{name}{k}"]) for name in ("kernels", "intercepts", "scales", "shifts")}
        a = torch.nn.functional.conv2d(a, of["kernels"].permute(3, 2, 0, 1), of["intercepts"], padding=1)
        a = torch.nn.functional.max_pool2d(torch.relu(a), 2)
        a = torch.nn.functional.batch_norm(a, None, None, of["scales"], of["shifts"], training=True)
    expected = torch.tanh(a).permute(0, 2, 3, 1).reshape(6, -1).numpy()
    assert_allclose(found[:, :-1], expected, atol=1e-12)
    assert_array_equal(found[:, -1], 1)


def helpers_size(network):
    return sum(int(np.prod(shape)) for shape in network.shapes.values())


def test_the_published_network_has_the_published_number_of_weights():
    assert helpers_size(Convolutions(84, 3, 32)) == 28_896
    assert Convolutions(84, 3, 32).n_features * 5 == 4_005
    assert Convolutions(84, 3, 64).n_features - 1 == 1_600
    assert Convolutions(32, 3, 64).n_features - 1 == 256


# ---------------------------------------------------------------------- tasks
def test_a_task_has_distinct_classes_and_images_of_its_part():
    labels = np.repeat(np.arange(7), 6)
    support, query = drawn_tasks(np.random.default_rng(0), labels, 50, 4, 2, 3)
    for near, far, y in zip(support["images"], query["images"], query["targets"], strict=True):
        assert len(set(near) | set(far)) == 4 * 5, "an image twice"
        classes = labels[near].reshape(4, 2)
        assert (classes == classes[:, :1]).all()
        assert len(set(classes[:, 0])) == 4
        assert_array_equal(labels[far], classes[:, 0][y.argmax(axis=1)])


def test_images_are_kept_once_and_new_tasks_have_classes_of_their_own():
    problem = problem_of(SMALL)
    parts = made_up()
    assert problem.shared_arrays["pool"] is not None
    assert problem.shared_arrays["pool"].dtype == np.uint8
    assert problem.splits["train"]["images"].shape == (7, 6)
    labels = [set(part[1]) for part in parts.values()]
    assert not (labels[0] & labels[1])
    assert not (labels[0] & labels[2])
    assert not (labels[1] & labels[2])
    with pytest.raises(AttributeError):
        _ = problem.view.adapted_metrics


def test_pixels_are_part_of_the_version():
    problem = problem_of(SMALL)
    pool = problem.shared_arrays["pool"].copy()
    pool[0, 0, 0, 0] += 9
    assert dataclasses.replace(problem, shared_arrays={"pool": pool}).version != problem.version


def test_a_table_that_does_not_fit_is_refused_with_its_size():
    sentence = why_too_many(7_624_512, 4_005, "The table of last layers", 4, have=16_000_000_000)
    assert "122 GB" in sentence
    assert "7,624,512" in sentence
    assert why_too_many(4_000, 4_005, "The table", 4, have=16_000_000_000) is None


# ---------------------------------------------------------------------- the evaluator
def test_more_tasks_at_once_than_the_memory_bears_are_declined_with_how_many_fit(backend, monkeypatch):
    problem, solvers = problem_of(SMALL), helpers.solver_classes()
    each = 6 * 4 * (64 + 16) * 2 * 4  # images of a task, four times what two convolutions return, bytes
    memory = psutil.virtual_memory()._replace(total=2 * 3.5 * each)
    why = lambda name, **parameters: helpers.why_skipped(solvers[name], problem, backend=backend, **parameters)
    assert why("aid_cg") is None
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    assert "7 tasks" in why("aid_cg")
    assert "a batch_size of 3 fits" in why("aid_cg")
    assert "a batch_size of 3 fits" in why("aid_bio", batch_size=4)
    assert why("aid_bio", batch_size=3) is None
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory._replace(total=each))
    assert "take a smaller network" in why("aid_bio", batch_size=1)


@pytest.mark.parametrize("filters", [1, 4])  # fewer features than support images, and more
def test_gradient_of_h_is_that_of_central_differences(filters):
    problem = problem_of(dataclasses.replace(SMALL, filters=filters))
    evaluator, rng = problem.evaluator, np.random.default_rng(1)
    x = problem.init(rng)[1]
    direction = rng.standard_normal(x.shape)
    solution, step = evaluator.solve(x), 1e-6  # small: ReLU and pooling have kinks everywhere
    assert solution.residual < 1e-9
    h = [evaluator.solve(x + k * step * direction).h for k in (-1, 1)]
    assert_allclose(solution.gradient @ direction, (h[1] - h[0]) / (2 * step), rtol=1e-4)


def test_exact_last_layers_in_coordinates_of_their_span_solve_the_whole_system():
    problem = problem_of(dataclasses.replace(SMALL, filters=4))
    evaluator, x = problem.evaluator, problem.init(np.random.default_rng(1))[1]
    solution = evaluator.solve(x)
    assert problem.inner_shape[0] > problem.splits["train"]["images"].shape[1]
    z, v = (a.reshape(-1, *problem.inner_shape) for a in (solution.z, solution.v))
    rows = {k: a[:3] for k, a in problem.rows("inner").items()} | problem.shared_arrays
    far = {k: a[:3] for k, a in problem.rows("outer").items()} | problem.shared_arrays
    shaped = unflatten(xp, x, problem.outer_shape)
    lower = problem.inner.derivatives(xp, {"grad_z", "hvp"}, z, shaped, v, rows, np.ones(3) / 3)
    upper = problem.outer.derivatives(xp, {"grad_z", "value"}, z, shaped, None, far, np.ones(3) / 3)
    assert_allclose(lower["grad_z"], 0, atol=1e-9)
    assert_allclose(lower["hvp"] + upper["grad_z"], 0, atol=1e-9)
    assert_allclose(solution.h, upper["value"], rtol=1e-10)
    assert_allclose(evaluator.outer_value(problem.evaluator.seen(solution.z), x), upper["value"], rtol=1e-12)


def test_an_x_out_of_range_gives_up_without_an_error():
    problem = problem_of(SMALL)
    x = problem.init(np.random.default_rng(0))[1]
    with np.errstate(all="ignore"):
        assert np.isnan(problem.evaluator.solve(np.full(x.shape, np.inf)).h)


def test_many_small_steps_come_to_the_exact_last_layers():
    problem = problem_of(SMALL)
    x = problem.init(np.random.default_rng(2))[1]
    start = np.zeros(problem.inner_size)
    of = {n: problem.adapted_metrics(x, Adaptation(start, 0.5, n)) for n in (0, 3000)}
    assert of[3000]["test_error_adapted"] == of[3000]["test_error_exact"]
    assert of[0]["test_error_adapted"] == pytest.approx(2 / 3), "the first class of three, always"


# ---------------------------------------------------------------------- solvers on tasks
@pytest.mark.slow
@pytest.mark.parametrize("method", ["anil", "maml"])
def test_gradient_through_the_steps_is_that_of_central_differences(method):
    problem = problem_of(SMALL, n_tasks=5)
    cls = helpers.step_solvers()[method]
    solver = helpers.make_solver(
        cls, problem, 1, backend="torch", precision="float64", batch_size=2, n_inner_steps=2, step_size=0.3,
        outer_ratio=3.0,
    )  # fmt: skip
    helpers.begin(solver)
    helpers.advance(solver)
    result = solver.get_result()
    (block,) = solver.program.streams().take(1)["tasks"]
    order = np.random.default_rng(problem.data_seed).permutation(5)
    ids = order[2 * int(block) : 2 * int(block) + 2]

    def loss(x):
        z, total = np.zeros(problem.inner_shape), 0.0
        for i in ids:
            near, far = ({k: a[i : i + 1] for k, a in problem.rows(level).items()} | problem.shared_arrays
                         for level in ("inner", "outer"))  # fmt: skip
            total += after_steps(problem, z, x, near, far, of_x=method == "maml") / len(ids)
        return total

    x, rng = result["x_before"], np.random.default_rng(3)
    direction, step = rng.standard_normal(x.shape), 1e-6
    slope = (loss(x + step * direction) - loss(x - step * direction)) / (2 * step)
    assert_allclose(result["d_x"] @ direction, slope, rtol=1e-4)
    n = len(ids)
    assert result["counts"] == dict(
        grad_inner=2 * n, grad_inner_x=2 * n * (method == "maml"), grad_outer=n, hvp=2 * n, cross=2 * n, value=0
    )
    how = result["adaptation"]
    assert (how.n_steps, how.step_size, how.of_x) == (2, 0.3, method == "maml")
    assert {"test_error_exact", "test_error_adapted"} <= set(problem.adapted_metrics(x, how))


def after_steps(problem, z, x, near, far, of_x):
    """Return F of one task after two steps, by JAX."""
    bk = get_backend("jax", "cpu", "float64")
    near, far = ({k: bk.asarray(a) for k, a in rows.items()} for rows in (near, far))
    z, x = bk.asarray(z)[None], bk.asarray(x)
    shaped = lambda x: unflatten(bk.xp, x, problem.outer_shape)
    G = lambda z, x: problem.inner.sample_values(bk.xp, z, shaped(x), near).sum()
    for _ in range(2):
        D_z, D_x = jax.grad(G, (0, 1))(z, x)
        z, x = z - 0.3 * D_z, x - 0.3 * of_x * D_x
    return float(problem.outer.sample_values(bk.xp, z, shaped(x), far).sum())


@pytest.mark.parametrize(
    ("method", "warm"),
    [
        pytest.param(method, warm, marks=[pytest.mark.slow] * ((method, warm) != ("aid_bio", False)))
        for method in ("aid_bio", "itd_bio", "bsgm", "anil")
        for warm in (False, True)
    ],
)
def test_backends_agree_on_tasks_of_images(method, warm):
    problem, cls = problem_of(SMALL, warm=warm), helpers.step_solvers()[method]
    common = dict(precision="float64", batch_size=2, n_inner_steps=2, n_linear_steps=2, n_steps=2, step_size=0.3,
                  outer_ratio=3.0)  # fmt: skip
    common = {k: v for k, v in common.items() if k in cls.parameters or k == "precision"}
    a, b = (helpers.run(cls, problem, 3, backend=name, **common) for name in FRAMEWORKS)
    assert a["counts"] == b["counts"]
    assert_allclose(a["x"], b["x"], rtol=1e-9, atol=1e-11)
    assert np.abs(a["x"] - a["x_before"]).max() > 0


# ---------------------------------------------------------------------- files
@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a folder that stands for benchopt's data path."""
    monkeypatch.setattr(images_by_class, "folder_of", lambda key: tmp_path)
    monkeypatch.setattr(
        images_by_class, "fetch", lambda key, name, *a, **k: tmp_path / name if (tmp_path / name).exists() else None
    )
    return tmp_path


def drawing(shift, size=28):
    image = Image.new("1", (size, size), 1)
    image.paste(0, (shift, 2, shift + 3, 9))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def test_drawings_are_read_from_both_archives_in_the_order_of_their_names(folder):
    names = {f"images/Greek/character0{k}/000{k}_0{j}.png": drawing(5 * k + j) for k in (1, 2) for j in (2, 1)}
    with tarfile.open(folder / "a.tar.gz", "w:gz") as archive:
        for name, content in names.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    of_tar, of_zip = (images_by_class.read_drawings(folder / name) for name in ("a.tar.gz", "a.zip"))
    assert list(of_tar) == ["Greek/character01", "Greek/character02"]
    for name, images in of_tar.items():
        assert images.shape == (2, 28, 28, 1)
        assert_array_equal(images, of_zip[name])
    first = of_tar["Greek/character01"][0, :, :, 0]
    assert set(np.unique(first)) == {0, 255}
    assert_array_equal(first[5, 6:9], 255)
    assert first.sum() == 255 * 3 * 7


def test_large_drawings_are_made_small():
    small = images_by_class._drawing(drawing(20, size=105))
    assert small.shape == (28, 28, 1)
    assert 0 < (small > 0).mean() < 0.1


def write(path, content):
    path.write_bytes(pickle.dumps(content, protocol=2))


def test_mini_imagenet_is_read_by_its_class_dict(folder):
    rng = np.random.default_rng(0)
    for name, n in (("a", 3), ("b", 2), ("c", 2)):
        images = rng.integers(0, 256, (2 * n, 84, 84, 3)).astype(np.uint8)
        write(folder / name, {"image_data": images, "class_dict": {f"n{k}": [k, k + n] for k in range(n)}})
    parts = images_by_class.mini_imagenet({"train": ("a", ""), "validation": ("b", ""), "test": ("c", "")})
    assert_array_equal(parts["train"][1], [0, 1, 2, 0, 1, 2])
    assert_array_equal(parts["validation"][1], [3, 4, 3, 4])
    assert parts["test"][0].shape == (4, 84, 84, 3)


def test_fc100_is_read_and_shared_classes_are_refused(folder):
    for name, labels in (("a", [0, 1, 0]), ("b", [5, 6, 5]), ("c", [7, 8, 7]), ("again", [1, 9, 9])):
        write(folder / name, {"data": np.zeros((3, 32, 32, 3), np.uint8), "labels": labels})
    files = {"train": ("a", ""), "validation": ("b", ""), "test": ("c", "")}
    assert_array_equal(images_by_class.fc100(files)["validation"][1], [5, 6, 5])
    with pytest.raises(DataUnavailable, match="share classes"):
        images_by_class.fc100(files | {"test": ("again", "")})


def test_a_pickle_that_would_run_something_is_refused(folder):
    write(folder / "a", types.SimpleNamespace(data=1))
    with pytest.raises(DataUnavailable, match="no pickle of arrays"):
        images_by_class.read_pickle(folder / "a")


def test_a_file_that_is_not_there_is_said_where_to_put(folder):
    with pytest.raises(DataUnavailable, match="put it there"):
        images_by_class.fc100()
