"""The meta-model: a trained model over base models' votes, which may override their ensemble.

Belongs here: features, decisions, training, promotion, drift. Does not belong here: where models and logs are
kept (store), when they are trained (orchestration), base models (lab, or the user's own).
"""

from meta_pipeline.meta_model.agent import MetaAgent
from meta_pipeline.meta_model.decide import decide
from meta_pipeline.meta_model.decision import Decision, Outcome
from meta_pipeline.meta_model.decision_settings import DecisionSettings
from meta_pipeline.meta_model.model import MetaModel
from meta_pipeline.meta_model.state import AgentState, advance

__all__ = ["AgentState", "Decision", "DecisionSettings", "MetaAgent", "MetaModel", "Outcome", "advance", "decide"]
