"""Studies: their files, their folders, and running them."""

from search.study.config import StudyConfig
from search.study.folder import StudyFolder, find_study
from search.study.load import Study, load_study
from search.study.lock import study_lock
from search.study.prepare import StudyData, prepare_data
from search.study.resolve import saved_study
from search.study.run import run_study
from search.study.session import RunOptions
from search.study.summary import StudySummary, study_summary
from search.study.sync import SyncReport, sync_study

__all__ = [
    "RunOptions",
    "Study",
    "StudyConfig",
    "StudyData",
    "StudyFolder",
    "StudySummary",
    "SyncReport",
    "find_study",
    "load_study",
    "prepare_data",
    "run_study",
    "saved_study",
    "study_lock",
    "study_summary",
    "sync_study",
]
