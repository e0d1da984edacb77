"""The engine that runs models on this machine: jobs, a step loop in a worker thread, loaded models.

It never computes a layer itself: the rooms below do. Only `app`, the benchmarks and the tests may
import it.
"""
