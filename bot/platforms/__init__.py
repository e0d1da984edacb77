"""What every platform needs: finding adapters, their configuration, and the services given to them.

It never imports an adapter or an SDK itself: adapters are found by name. `app` and the command line
may import it; of its files adapters import `arrival_order`, `handles`, `online_gate`,
`recent_posts`, `seen_mark`, `text_files` and `write_budget`: what they would else write twice.
"""
