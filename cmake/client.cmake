# evodb::client: one static library of base, wire, capture and edge, installable by itself.
