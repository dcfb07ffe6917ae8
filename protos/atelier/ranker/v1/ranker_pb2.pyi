from atelier.types.v1 import access_pb2 as _access_pb2
from atelier.types.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERDICT_UNSPECIFIED: _ClassVar[Verdict]
    VERDICT_A_BETTER: _ClassVar[Verdict]
    VERDICT_B_BETTER: _ClassVar[Verdict]
    VERDICT_TIED: _ClassVar[Verdict]
    VERDICT_ABSTAINED: _ClassVar[Verdict]
VERDICT_UNSPECIFIED: Verdict
VERDICT_A_BETTER: Verdict
VERDICT_B_BETTER: Verdict
VERDICT_TIED: Verdict
VERDICT_ABSTAINED: Verdict

class RankRequest(_message.Message):
    __slots__ = ("candidates", "options")
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    options: RankOptions
    def __init__(self, candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ..., options: _Optional[_Union[RankOptions, _Mapping]] = ...) -> None: ...

class RankResponse(_message.Message):
    __slots__ = ("placements", "errors", "pairwise_probabilities", "models", "tie_margin", "temperature", "timings", "uncertainty_weight")
    PLACEMENTS_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    PAIRWISE_PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    TIE_MARGIN_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    UNCERTAINTY_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    placements: _containers.RepeatedCompositeFieldContainer[Placement]
    errors: _containers.RepeatedCompositeFieldContainer[_types_pb2.ItemError]
    pairwise_probabilities: _containers.RepeatedScalarFieldContainer[float]
    models: _containers.RepeatedCompositeFieldContainer[_types_pb2.ModelIdentity]
    tie_margin: float
    temperature: float
    timings: _types_pb2.Timings
    uncertainty_weight: float
    def __init__(self, placements: _Optional[_Iterable[_Union[Placement, _Mapping]]] = ..., errors: _Optional[_Iterable[_Union[_types_pb2.ItemError, _Mapping]]] = ..., pairwise_probabilities: _Optional[_Iterable[float]] = ..., models: _Optional[_Iterable[_Union[_types_pb2.ModelIdentity, _Mapping]]] = ..., tie_margin: _Optional[float] = ..., temperature: _Optional[float] = ..., timings: _Optional[_Union[_types_pb2.Timings, _Mapping]] = ..., uncertainty_weight: _Optional[float] = ...) -> None: ...

class RankStreamRequest(_message.Message):
    __slots__ = ("options", "candidates")
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    options: RankOptions
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    def __init__(self, options: _Optional[_Union[RankOptions, _Mapping]] = ..., candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ...) -> None: ...

class RankStreamResponse(_message.Message):
    __slots__ = ("ranking",)
    RANKING_FIELD_NUMBER: _ClassVar[int]
    ranking: RankResponse
    def __init__(self, ranking: _Optional[_Union[RankResponse, _Mapping]] = ...) -> None: ...

class CompareRequest(_message.Message):
    __slots__ = ("candidate_a", "candidate_b", "no_store", "min_probability")
    CANDIDATE_A_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_B_FIELD_NUMBER: _ClassVar[int]
    NO_STORE_FIELD_NUMBER: _ClassVar[int]
    MIN_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    candidate_a: Candidate
    candidate_b: Candidate
    no_store: bool
    min_probability: float
    def __init__(self, candidate_a: _Optional[_Union[Candidate, _Mapping]] = ..., candidate_b: _Optional[_Union[Candidate, _Mapping]] = ..., no_store: _Optional[bool] = ..., min_probability: _Optional[float] = ...) -> None: ...

class CompareResponse(_message.Message):
    __slots__ = ("probability_a_better", "score_a", "score_b", "tied", "models", "timings", "verdict", "uncertainty_a", "uncertainty_b")
    PROBABILITY_A_BETTER_FIELD_NUMBER: _ClassVar[int]
    SCORE_A_FIELD_NUMBER: _ClassVar[int]
    SCORE_B_FIELD_NUMBER: _ClassVar[int]
    TIED_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    UNCERTAINTY_A_FIELD_NUMBER: _ClassVar[int]
    UNCERTAINTY_B_FIELD_NUMBER: _ClassVar[int]
    probability_a_better: float
    score_a: float
    score_b: float
    tied: bool
    models: _containers.RepeatedCompositeFieldContainer[_types_pb2.ModelIdentity]
    timings: _types_pb2.Timings
    verdict: Verdict
    uncertainty_a: float
    uncertainty_b: float
    def __init__(self, probability_a_better: _Optional[float] = ..., score_a: _Optional[float] = ..., score_b: _Optional[float] = ..., tied: _Optional[bool] = ..., models: _Optional[_Iterable[_Union[_types_pb2.ModelIdentity, _Mapping]]] = ..., timings: _Optional[_Union[_types_pb2.Timings, _Mapping]] = ..., verdict: _Optional[_Union[Verdict, str]] = ..., uncertainty_a: _Optional[float] = ..., uncertainty_b: _Optional[float] = ...) -> None: ...

class ScoreRequest(_message.Message):
    __slots__ = ("candidates", "no_store", "include_embeddings")
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    NO_STORE_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    no_store: bool
    include_embeddings: bool
    def __init__(self, candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ..., no_store: _Optional[bool] = ..., include_embeddings: _Optional[bool] = ...) -> None: ...

class ScoreResponse(_message.Message):
    __slots__ = ("scores", "errors", "models", "timings")
    SCORES_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    scores: _containers.RepeatedCompositeFieldContainer[CandidateScore]
    errors: _containers.RepeatedCompositeFieldContainer[_types_pb2.ItemError]
    models: _containers.RepeatedCompositeFieldContainer[_types_pb2.ModelIdentity]
    timings: _types_pb2.Timings
    def __init__(self, scores: _Optional[_Iterable[_Union[CandidateScore, _Mapping]]] = ..., errors: _Optional[_Iterable[_Union[_types_pb2.ItemError, _Mapping]]] = ..., models: _Optional[_Iterable[_Union[_types_pb2.ModelIdentity, _Mapping]]] = ..., timings: _Optional[_Union[_types_pb2.Timings, _Mapping]] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models",)
    MODELS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[_types_pb2.ServedModel]
    def __init__(self, models: _Optional[_Iterable[_Union[_types_pb2.ServedModel, _Mapping]]] = ...) -> None: ...

class GetLimitsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetLimitsResponse(_message.Message):
    __slots__ = ("limits",)
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    limits: _types_pb2.Limits
    def __init__(self, limits: _Optional[_Union[_types_pb2.Limits, _Mapping]] = ...) -> None: ...

class Candidate(_message.Message):
    __slots__ = ("id", "image", "feature")
    ID_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    id: str
    image: bytes
    feature: _types_pb2.SpaceVector
    def __init__(self, id: _Optional[str] = ..., image: _Optional[bytes] = ..., feature: _Optional[_Union[_types_pb2.SpaceVector, _Mapping]] = ...) -> None: ...

class RankOptions(_message.Message):
    __slots__ = ("tie_margin", "include_pairwise", "no_store", "min_probability")
    TIE_MARGIN_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_PAIRWISE_FIELD_NUMBER: _ClassVar[int]
    NO_STORE_FIELD_NUMBER: _ClassVar[int]
    MIN_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    tie_margin: float
    include_pairwise: bool
    no_store: bool
    min_probability: float
    def __init__(self, tie_margin: _Optional[float] = ..., include_pairwise: _Optional[bool] = ..., no_store: _Optional[bool] = ..., min_probability: _Optional[float] = ...) -> None: ...

class Placement(_message.Message):
    __slots__ = ("id", "index", "place", "tie_group", "score", "probability_over_next", "uncertainty", "abstained_over_next")
    ID_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    TIE_GROUP_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_OVER_NEXT_FIELD_NUMBER: _ClassVar[int]
    UNCERTAINTY_FIELD_NUMBER: _ClassVar[int]
    ABSTAINED_OVER_NEXT_FIELD_NUMBER: _ClassVar[int]
    id: str
    index: int
    place: int
    tie_group: int
    score: float
    probability_over_next: float
    uncertainty: float
    abstained_over_next: bool
    def __init__(self, id: _Optional[str] = ..., index: _Optional[int] = ..., place: _Optional[int] = ..., tie_group: _Optional[int] = ..., score: _Optional[float] = ..., probability_over_next: _Optional[float] = ..., uncertainty: _Optional[float] = ..., abstained_over_next: _Optional[bool] = ...) -> None: ...

class CandidateScore(_message.Message):
    __slots__ = ("id", "index", "score", "embedding", "uncertainty")
    ID_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    UNCERTAINTY_FIELD_NUMBER: _ClassVar[int]
    id: str
    index: int
    score: float
    embedding: _types_pb2.SpaceVector
    uncertainty: float
    def __init__(self, id: _Optional[str] = ..., index: _Optional[int] = ..., score: _Optional[float] = ..., embedding: _Optional[_Union[_types_pb2.SpaceVector, _Mapping]] = ..., uncertainty: _Optional[float] = ...) -> None: ...
