"""Models as ONNX graphs, so that a service needs no torch."""

from mmq._onnx.codes import CodesGraph
from mmq._onnx.users import UsersGraph
from mmq._onnx.write import Graph, write_graph

__all__ = ["CodesGraph", "Graph", "UsersGraph", "write_graph"]
