"""Whole notebooks as jobs: ``%lambda notebook`` and ``%lambda runs``.

======== ===========================================================================
source   the notebook's file: its parameters, its kernel, what is wrong with it
package  the deployment package: the notebook, what is beside it, what runs it
job      deploys the function, its failure destination and its schedules
follow   a run that was asked for now, until it ends
runs     what runs left behind
view     how all of it is shown
notice   scheduled runs that failed, told once
options  what can be written on the lines
inside   what runs in the sandbox
======== ===========================================================================
"""
