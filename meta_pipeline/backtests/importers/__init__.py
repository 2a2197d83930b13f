"""Importers: somebody's files into backtest runs.

An importer knows nothing of the database and drops nothing: what it cannot read becomes a defect of
the run, for the quality gate to name.
"""

from meta_pipeline.backtests.importers.importer import Delivery, ImportedCampaign, Importer, RegimeLabels
from meta_pipeline.backtests.importers.registry import IMPORTERS, choose

__all__ = ["IMPORTERS", "Delivery", "ImportedCampaign", "Importer", "RegimeLabels", "choose"]
