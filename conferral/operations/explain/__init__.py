"""How a call stands and what happened, in words, for all surfaces.

`people` says who is there, what each does and since when, and who hears whom; `facts` describes the transfer and the
rest; `attention` what is wrong; `waits` what is awaited; `timeline` what happened; `explanation` puts them together.
"""
