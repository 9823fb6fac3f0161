"""
Stage 2: the text of a model statement → a statement → the SQL call that does it.

`split` finds the statements of a text, `recognise` decides from the first tokens, `grammar` reads
the tokens of `lexer` into the nodes of `nodes`, `sql_call` writes the call, `calls` does the same
for a call of predict inside other SQL, and `rewriter` offers all of it to the proxy. Does not know
the wire, and never runs SQL.
"""
