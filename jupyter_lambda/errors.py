"""Every error that jupyter_lambda raises on purpose, as one tree.

::

    LambdaError                                  code, http_status, and what AWS puts beside the message
    ├── ClientError                              the caller can mend it (Type "User")
    │   ├── ResourceNotFoundException            404
    │   ├── ProvisionedConcurrencyConfigNotFoundException  404
    │   ├── ResourceConflictException            409
    │   ├── ResourceInUseException               400
    │   ├── ResourceNotReadyException            502
    │   ├── InvalidParameterValueException       400
    │   ├── ValidationException                  400
    │   │   └── InvalidScheduleExpression        400   told to people; the API has AWS's own text
    │   ├── SerializationException               400
    │   ├── InvalidRequestContentException       400
    │   ├── InvalidZipFileException              502
    │   ├── InvalidRuntimeException              502
    │   ├── RequestTooLargeException             413
    │   ├── RequestEntityTooLargeException       413
    │   ├── UnsupportedMediaTypeException        415
    │   ├── CodeStorageExceededException         400
    │   ├── PolicyLengthExceededException        400
    │   ├── PreconditionFailedException          412
    │   ├── TooManyRequestsException             429   reason=
    │   ├── AccessDeniedException                403
    │   ├── InvalidParameterException            400   CloudWatch Logs' and CloudWatch's own
    │   ├── InvalidParameterCombinationException 400
    │   ├── MissingRequiredParameterException    400
    │   ├── InvalidNextToken                     400
    │   ├── ResourceAlreadyExistsException       400
    │   ├── BadRequestException                  400   API Gateway's own
    │   ├── NotFoundException                    404
    │   ├── ConflictException                    409   API Gateway's and EventBridge Scheduler's
    │   ├── InvalidEventPatternException         400   EventBridge's own
    │   ├── LimitExceededException               400
    │   ├── ServiceQuotaExceededException        402   EventBridge Scheduler's own
    │   ├── UnknownOperationException            404
    │   └── SignatureError                       403   who is asking could not be established
    │       ├── MissingAuthenticationTokenException
    │       ├── IncompleteSignatureException     400
    │       ├── InvalidSignatureException
    │       ├── ExpiredTokenException
    │       └── UnrecognizedClientException
    └── ServiceException                         500   the engine's fault or its host's (Type "Service")
        ├── NotImplementedException              501   an operation or option that is not built, by name
        ├── ServiceUnavailableException          503   draining, or not ready
        ├── DriverError                          500   the container engine or a sandbox process failed
        ├── StoreError                           500   the state directory can't be read or written
        └── EngineAlreadyRunning                 500   another engine owns the state directory

A function that fails is a result, not one of these. Source of codes and statuses: botocore's model of AWS Lambda
and recorded answers of AWS.
"""

from __future__ import annotations

from typing import ClassVar


class LambdaError(Exception):
    """An error with AWS's code and HTTP status."""

    code: ClassVar[str] = "ServiceException"
    http_status: ClassVar[int] = 500
    #: AWS's ``Type`` member: "User" or "Service".
    fault: ClassVar[str] = "Service"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __init_subclass__(cls, *, status: int | None = None, code: str | None = None) -> None:
        super().__init_subclass__()
        cls.code = code or cls.__name__
        if status is not None:
            cls.http_status = status


class ClientError(LambdaError, status=400):
    """The caller can mend it."""

    fault = "User"


class ResourceNotFoundException(ClientError, status=404):
    """The resource does not exist."""


class ProvisionedConcurrencyConfigNotFoundException(ClientError, status=404):
    """The version or alias has no provisioned concurrency."""


class ResourceConflictException(ClientError, status=409):
    """The resource exists already, or another operation is in progress."""


class ResourceInUseException(ClientError, status=400):
    """The resource is being used by another one."""


class ResourceNotReadyException(ClientError, status=502):
    """The function is inactive or its last update is still under way."""


class InvalidParameterValueException(ClientError, status=400):
    """One of the parameters is not valid."""


class ValidationException(ClientError, status=400):
    """A parameter breaks a constraint of the service's model."""


class InvalidScheduleExpression(ValidationException, code="ValidationException"):
    """A rate, cron or at expression is not valid: one line that says why."""


class SerializationException(ClientError, status=400):
    """The request is not JSON, or one of its members has another type than the service's model says."""


class InvalidRequestContentException(ClientError, status=400):
    """The request body could not be parsed as JSON."""


class InvalidZipFileException(ClientError, status=502):
    """The deployment package could not be unzipped."""


class InvalidRuntimeException(ClientError, status=502):
    """The runtime is not supported."""


class RequestTooLargeException(ClientError, status=413):
    """The invocation payload exceeds the limit."""


class RequestEntityTooLargeException(ClientError, status=413):
    """The request body exceeds the limit."""


class UnsupportedMediaTypeException(ClientError, status=415):
    """The content type of the Invoke request body is not JSON."""


class CodeStorageExceededException(ClientError, status=400):
    """The account's total code size is exceeded."""


class PolicyLengthExceededException(ClientError, status=400):
    """The resource policy is larger than 20 KB."""


class PreconditionFailedException(ClientError, status=412):
    """The RevisionId does not match the latest one."""


class TooManyRequestsException(ClientError, status=429):
    """A concurrency limit or the request rate is exceeded."""

    def __init__(self, message: str = "Rate Exceeded.", *, reason: str) -> None:
        """
        Args:
            reason: AWS's ThrottleReason, e.g. "ReservedFunctionConcurrentInvocationLimitExceeded",
                "ConcurrentInvocationLimitExceeded".
        """
        super().__init__(message)
        self.reason = reason


class AccessDeniedException(ClientError, status=403):
    """The principal may not do this."""


class InvalidParameterException(ClientError, status=400):
    """CloudWatch Logs: a parameter is not valid."""


class InvalidParameterCombinationException(ClientError, status=400):
    """CloudWatch: parameters that can't be used together."""


class MissingRequiredParameterException(ClientError, status=400):
    """CloudWatch: a parameter is missing."""


class InvalidNextToken(ClientError, status=400):
    """CloudWatch: not a token that was handed out here."""


class ResourceAlreadyExistsException(ClientError, status=400):
    """CloudWatch Logs: the log group or stream exists already."""


class BadRequestException(ClientError, status=400):
    """API Gateway: a parameter is missing or not valid."""


class NotFoundException(ClientError, status=404):
    """API Gateway: the resource does not exist."""


class ConflictException(ClientError, status=409):
    """API Gateway and EventBridge Scheduler: the resource exists already, or is in use."""


class InvalidEventPatternException(ClientError, status=400):
    """EventBridge: the event pattern is not valid."""


class LimitExceededException(ClientError, status=400):
    """EventBridge: more of something than the account may have."""


class ServiceQuotaExceededException(ClientError, status=402):
    """EventBridge Scheduler: more of something than the account may have."""


class UnknownOperationException(ClientError, status=404):
    """No operation of the service has this method and path."""


class SignatureError(ClientError, status=403):
    """Who is asking could not be established."""


class MissingAuthenticationTokenException(SignatureError):
    """The request carries no signature."""


class IncompleteSignatureException(SignatureError, status=400):
    """The signature lacks one of its parts."""


class InvalidSignatureException(SignatureError):
    """The signature does not match, or is too old or too new."""


class ExpiredTokenException(SignatureError):
    """The credentials are no longer valid (a sandbox that is gone)."""


class UnrecognizedClientException(SignatureError):
    """The access key is not known here."""


class ServiceException(LambdaError, status=500):
    """The engine failed, or the host it runs on."""


class NotImplementedException(ServiceException, status=501, code="NotImplemented"):
    """An operation or option of AWS that is not built here; the message names it."""


class ServiceUnavailableException(ServiceException, status=503):
    """The engine is draining or not ready; try again."""


class DriverError(ServiceException, code="ServiceException"):
    """The container engine or a sandbox process failed, through no fault of the function."""


class StoreError(ServiceException, code="ServiceException"):
    """The state directory can't be read or written (full disk, wrong owner, damaged file)."""


class EngineAlreadyRunning(ServiceException, code="ServiceException"):
    """Another engine owns the state directory; the message names its process id and address."""
