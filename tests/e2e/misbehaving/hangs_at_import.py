"""Says that it has begun, and is never imported to its end."""

import time

print("the plugin has begun", flush=True)
while True:
    time.sleep(3600)
