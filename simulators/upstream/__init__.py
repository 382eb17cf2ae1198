"""Sources that change themselves on an order from outside, as plants do to the models behind them.

A process serves one protocol and takes orders as JSON lines (`orders`, `serve`). Nothing here is
part of the agent, nor does anything here know how the agent finds a change.
"""
