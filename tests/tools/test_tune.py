"""The command of the tuner: names, options, two workers on one storage."""

import pytest
import yaml

from benchmark_utils.running import search_space
from tools import tune


@pytest.mark.slow
def test_two_processes_share_a_new_storage_and_write_one_file(tmp_path, monkeypatch, capsys):
    storage = f"sqlite:///{tmp_path / 'tuning.db'}"
    tune.main(["SOBA", "TTSA", "simulated", "trials=4", "seeds=1", "structures=2", "samples=20000", "jobs=2",
               f"storage={storage}", "write=no"])  # fmt: skip
    printed = capsys.readouterr().out
    assert "SOBA on simulated: " in printed
    assert "TTSA on simulated: " in printed
    assert "not tuned" not in printed
    monkeypatch.setattr(search_space, "TUNED_FOLDER", tmp_path)
    tune.main(["SOBA", "simulated", "trials=4", "seeds=1", "structures=2", "samples=20000", f"storage={storage}"])
    content = yaml.safe_load((tmp_path / "simulated.yml").read_text(encoding="utf-8"))
    assert content["tuned_with"]["SOBA"]["trials"] == 4
    search_space.tuned_values.cache_clear()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["SOBA", "simulated", "trails=4"], "trails: not known"),
        (["SOBA"], "Usage"),
        (["SOBA", "simulated", "trials=many"], "n_trials is 'many'"),
        (["SOBA", "simulated", "sampler=best"], "sampler is 'best'"),
        (["SOBA", "simulated", "epochs=few"], "samples and epochs must be numbers"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(arguments, sentence):
    with pytest.raises(SystemExit, match=sentence):
        tune.main(arguments)


def test_a_solver_is_tuned_with_the_parameters_that_it_is_named_with():
    cls, given = tune.solver_of("SABA[batch_size=512]", "torch")
    assert (cls.name, given) == ("SABA", {"backend": "torch", "batch_size": 512})
