"""The components as the caller of a request may use them.

Routes are given nothing else, so a route cannot forget to ask whom its caller may know of: every way to people's data
leads through here. People out of reach are unknown, in every method, so answers and errors for them are those for
somebody who never was. What is asked about whom is noted on the way, for the audit.
"""
