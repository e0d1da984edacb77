"""What every platform needs: finding adapters, their configuration, and the services given to them.

It never imports an adapter or an SDK itself: adapters are found by name. `app` and the command line
may import it; adapters only `arrival_order`, `seen_mark`, `text_files` and
`write_budget`.
"""
