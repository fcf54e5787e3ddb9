"""Names of the tags that this package writes on runs."""

ROLE = "smlmbench.role"
STUDY = "smlmbench.study"
CELL_ID = "smlmbench.cell_id"
EVAL_ID = "smlmbench.eval_id"
ATTEMPT = "smlmbench.attempt"
DEATHS = "smlmbench.deaths"
HOST = "smlmbench.host"
PID = "smlmbench.pid"
PROCESS_START = "smlmbench.process_start"
HEARTBEAT = "smlmbench.heartbeat"
JOB = "smlmbench.job"
BID = "smlmbench.bid."
WITHDRAWN = "smlmbench.withdrawn"
OUTCOME = "smlmbench.outcome"
REASON = "smlmbench.reason"
TRAINED = "smlmbench.trained"
SUPERSEDED_BY = "smlmbench.superseded_by"
TIMED_ON = "smlmbench.timed_on"  # processor
NOT_TIMED = "smlmbench.not_timed"  # why, by metric, as JSON
COMBINATION = "smlmbench.combination"  # of a summary
PARENT = "mlflow.parentRunId"
NOT_LOGGED = "smlmbench.not_logged"
PARAM = "smlmbench.param."
SOURCE = {"mlflow.source.name": "smlmbench", "mlflow.source.type": "LOCAL"}
