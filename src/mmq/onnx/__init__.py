"""Models as ONNX graphs, so that a service needs no torch."""

from mmq.onnx.codes import CodesGraph
from mmq.onnx.users import UsersGraph
from mmq.onnx.write import Graph, write_graph

__all__ = ["CodesGraph", "Graph", "UsersGraph", "write_graph"]
