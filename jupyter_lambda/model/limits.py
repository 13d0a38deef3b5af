"""AWS Lambda's quotas and defaults.

Source: AWS Lambda Developer Guide, "Lambda quotas"; botocore's model of the service for minima and maxima.
"""

from __future__ import annotations

#: MB. Smallest, largest and default memory of a function.
MEMORY_MIN_MB, MEMORY_MAX_MB, MEMORY_DEFAULT_MB = 128, 10_240, 128
#: MB of memory at which a function has exactly one vCPU; CPU share is proportional below and above.
MEMORY_PER_VCPU_MB = 1_769
#: Seconds. Longest and default timeout of a function.
TIMEOUT_MAX_S, TIMEOUT_DEFAULT_S = 900, 3
#: Seconds an environment may take to initialise before its first invocation.
INIT_TIMEOUT_S = 10
#: MB. Smallest (and default) and largest /tmp.
TMP_MIN_MB, TMP_MAX_MB = 512, 10_240
#: Bytes of all environment variables of a function, as JSON.
ENVIRONMENT_MAX_BYTES = 4_096
#: Layers of one function.
LAYERS_MAX = 5
#: Bytes of a zip uploaded in the request itself.
ZIP_MAX_BYTES = 52_428_800
#: Bytes of the function and its layers, unzipped.
UNZIPPED_MAX_BYTES = 262_144_000
#: Entries in a zip; not AWS's figure: a guard against bombs of empty files.
ZIP_MAX_ENTRIES = 50_000
#: Bytes of a synchronous request payload and of a response.
PAYLOAD_MAX_BYTES = 6_291_456
#: Bytes of a response as AWS measures it: the payload plus 100 bytes of envelope.
RESPONSE_MAX_BYTES = 6_291_556
#: Bytes of a streamed response. Source: AWS Lambda Developer Guide, "Response streaming": 200 MB.
STREAMED_RESPONSE_MAX_BYTES = 209_715_200
#: Bytes of an asynchronous event.
EVENT_MAX_BYTES = 1_048_576
#: Bytes of log returned in ``LogResult``.
LOG_TAIL_BYTES = 4_096
#: Bytes of the ClientContext header, base64.
CLIENT_CONTEXT_MAX_BYTES = 3_583
#: Concurrent executions of an account, and how many reserved concurrency must leave.
CONCURRENCY_DEFAULT, CONCURRENCY_UNRESERVED_MIN = 1_000, 100
#: Seconds an asynchronous event may wait and be retried.
EVENT_AGE_MAX_S = 21_600
#: Retries of an asynchronous event after a function error, and seconds before each.
EVENT_RETRIES_MAX, EVENT_RETRY_DELAYS_S = 2, (60, 120)
#: Seconds between attempts after a throttle or a system error: first, and longest.
EVENT_BACKOFF_FIRST_S, EVENT_BACKOFF_MAX_S = 1, 300
#: Bytes of all code packages of an account.
CODE_STORAGE_MAX_BYTES = 80_530_636_800
