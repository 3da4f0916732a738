"""A client from outside the notebook: sends every row of a file to a deployed model, one request each.

python traffic.py http://127.0.0.1:PORT/v2/models/cancer rows.csv
"""

import csv
import http.client
import json
import sys
from collections import Counter
from urllib.parse import urlsplit


def main(url: str, path: str) -> None:
    where = urlsplit(url)
    name = where.path.rsplit("/", 1)[1]
    connection = http.client.HTTPConnection(where.hostname, where.port)
    answered: Counter[str] = Counter()
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            body = json.dumps({column: float(value) for column, value in row.items()})
            connection.request("POST", f"/predict/{name}", body)
            answer = json.loads(connection.getresponse().read())
            if "error" in answer:
                sys.exit(answer["error"])
            answered[f"version {answer['model_version']}"] += 1
    print(", ".join(f"{count} rows answered by {version}" for version, count in answered.items()))


if __name__ == "__main__":
    main(*sys.argv[1:])
