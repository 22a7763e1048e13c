"""Extract → transform → load: how readings come in from sources that are asked, instead of devices that push.

Nothing is imported here, so that a process that decodes files loads no clients of clouds.
"""
