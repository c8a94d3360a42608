"""Interactive explorers: each is a Jupyter widget, and moves on the static page too, without a kernel."""

from helpers.explorers.analogy import AnalogyExplorer
from helpers.explorers.architecture import ArchitectureExplorer
from helpers.explorers.aspects import AspectExplorer
from helpers.explorers.attention import (
    AttentionExplorer,
    AttentionMap,
    ImageAttentionExplorer,
)
from helpers.explorers.captions import CaptionExplorer, Reading
from helpers.explorers.channels import ChannelExplorer, PlaceExplorer
from helpers.explorers.character import CharacterExplorer
from helpers.explorers.class_map import ClassMap, ClassMapExplorer
from helpers.explorers.context import (
    BeamExample,
    BeamExplorer,
    ContextExplorer,
    Reader,
)
from helpers.explorers.convolution import ConvolutionExplorer
from helpers.explorers.descent import DescentExplorer
from helpers.explorers.detection import DetectedScene, DetectionExplorer
from helpers.explorers.energy import EnergyExplorer
from helpers.explorers.gates import CellExplorer, GateExplorer
from helpers.explorers.graph import GraphExplorer
from helpers.explorers.guided import GuidedExplorer, GuidedScene
from helpers.explorers.jacobian import JacobianExplorer
from helpers.explorers.patches import PatchExplorer
from helpers.explorers.patterns import PatternExplorer
from helpers.explorers.photo_attention import PhotoAttentionExplorer
from helpers.explorers.positions import PositionExplorer
from helpers.explorers.quiz import Option, Question, Quiz
from helpers.explorers.receptive_field import ReceptiveFieldExplorer
from helpers.explorers.sampling import SamplingExplorer
from helpers.explorers.softmax import SoftmaxExplorer
from helpers.explorers.tokens import TokenExplorer
from helpers.explorers.unroll import UnrollExplorer
from helpers.explorers.upload import PhotoUpload
from helpers.explorers.window import WindowExplorer

__all__ = [
    "AnalogyExplorer",
    "ArchitectureExplorer",
    "AspectExplorer",
    "AttentionExplorer",
    "AttentionMap",
    "BeamExample",
    "BeamExplorer",
    "CaptionExplorer",
    "CellExplorer",
    "ChannelExplorer",
    "CharacterExplorer",
    "ClassMap",
    "ClassMapExplorer",
    "ContextExplorer",
    "ConvolutionExplorer",
    "DescentExplorer",
    "DetectedScene",
    "DetectionExplorer",
    "EnergyExplorer",
    "GateExplorer",
    "GraphExplorer",
    "GuidedExplorer",
    "GuidedScene",
    "ImageAttentionExplorer",
    "JacobianExplorer",
    "Option",
    "PatchExplorer",
    "PatternExplorer",
    "PhotoAttentionExplorer",
    "PhotoUpload",
    "PlaceExplorer",
    "PositionExplorer",
    "Question",
    "Quiz",
    "Reader",
    "Reading",
    "ReceptiveFieldExplorer",
    "SamplingExplorer",
    "SoftmaxExplorer",
    "TokenExplorer",
    "UnrollExplorer",
    "WindowExplorer",
]
