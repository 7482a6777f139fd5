"""Deliberate faults, each with the tests that must see it: how well the suite is watched itself.

``python -m tests.mutants [names...]`` plants them one at a time on a copy of the tree. A name
stands for every fault that it begins: ``oracles`` for the whole layer.
"""

from .fault import Fault
from .faults_data import FAULTS as DATA
from .faults_diagnostics import FAULTS as DIAGNOSTICS
from .faults_evaluation import FAULTS as EVALUATION
from .faults_oracles import FAULTS as ORACLES
from .faults_running import FAULTS as RUNNING
from .faults_solvers import FAULTS as SOLVERS

__all__ = ["FAULTS", "Fault"]

#: All faults, layer by layer.
FAULTS = (*ORACLES, *RUNNING, *SOLVERS, *EVALUATION, *DATA, *DIAGNOSTICS)
