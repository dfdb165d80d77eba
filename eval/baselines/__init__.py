"""The systems that every table compares against, each tuned on validation questions only.

``registry`` names them, ``tuning`` chooses their settings, ``tuned.json`` keeps what was chosen and how. They
are made from a protocol's training part alone and answer requests from the history that a request brings, so
users that training has not seen are served like the others.
"""
