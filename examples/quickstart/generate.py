#!/usr/bin/env python3
"""Makes the sample data of the quickstart, the same bytes every time. The data is committed; run this to change it."""

import json
import pathlib
from datetime import date, datetime, timedelta

DATA = pathlib.Path(__file__).parent / "data"
CUSTOMERS, ORDERS, EVENTS = 1_000, 2_000, 3_000


class Random:
    """A linear congruential generator, so that no Python version changes the data."""

    def __init__(self, seed):
        self.state = seed

    def below(self, bound):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) % bound

    def of(self, choices):
        return choices[self.below(len(choices))]


def csv_field(value):
    if value is None:
        return ""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if text == "" or any(character in text for character in ',"\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def write_csv(path, names, rows):
    lines = [",".join(names)] + [",".join(csv_field(value) for value in row) for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def customers(random):
    first = ["Ada", "Björn", "Chloé", "Dmitri", "Eun-ji", "Fatima", "Grace", "Hiro", "Inês", "Jürgen", "Kofi", "Łucja"]
    last = ["Lovelace", "Åkesson", "Dubois", "Ivanov", "Kim", "O'Neil", "Hopper", "Tanaka", "Sá", "Groß", "Mensah", "Nowak"]
    cities = ["Berlin", "São Paulo", "Tokyo", "Accra", "Montréal", "Kraków", "Austin, TX"]
    notes = [None, None, None, "", 'calls herself "the countess"', "prefers mail,\nnever phone", "VIP since 2019"]
    for number in range(1, CUSTOMERS + 1):
        name, family = random.of(first), random.of(last)
        born = date(1940, 1, 1) + timedelta(days=random.below(24_000))
        created = datetime(2021, 1, 1) + timedelta(seconds=random.below(120_000_000))
        yield [
            number,
            name,
            family,
            f"{name}.{family}.{number}@example.com".lower().replace("'", ""),
            None if random.below(5) == 0 else f"+49 30 {random.below(900_000) + 100_000}",
            random.of(cities),
            f"{random.below(100_000):05}",
            born.isoformat(),
            random.below(10) == 0,
            None if random.below(20) == 0 else random.below(2_000_000) / 100 - 500,
            created.isoformat(),
            random.of(notes),
        ]


def orders(random):
    placed = datetime(2024, 1, 1)
    for number in range(1, ORDERS + 1):
        placed += timedelta(seconds=random.below(9_000))
        items = [
            {"sku": f"SKU-{random.below(400):04}", "quantity": random.below(5) + 1}
            for _ in range(random.below(3) + 1)
        ]
        order = {
            "id": number,
            "customer_id": random.below(CUSTOMERS) + 1,
            "status": random.of(["placed", "paid", "shipped", "returned"]),
            "total": (random.below(500_000) + 100) / 100,
            "express": random.below(4) == 0,
            "items": items,
            "updated_at": (placed + timedelta(milliseconds=random.below(1_000))).isoformat(timespec="milliseconds") + "Z",
        }
        if random.below(6) == 0:
            order["coupon"] = random.of(["SPRING", "WELCOME10", "VIP"])
        yield order


def events(random, start):
    at = datetime(2024, 1 if start == 0 else 2, 1)
    for number in range(start + 1, start + EVENTS // 2 + 1):
        at += timedelta(seconds=random.below(1_200))
        yield [
            number,
            random.below(CUSTOMERS) + 1,
            random.of(["login", "view", "search", "add_to_cart", "checkout", "logout"]),
            f"203.0.113.{random.below(254) + 1}",
            random.below(100_000) / 1_000,
            at.isoformat(sep=" "),
        ]


def main():
    columns = "id first_name last_name email phone city postcode birthday vip balance created_at note".split()
    write_csv(DATA / "customers.csv", columns, customers(Random(1)))
    lines = [json.dumps(order, separators=(",", ":"), ensure_ascii=False) for order in orders(Random(2))]
    (DATA / "orders.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    columns = "seq customer_id kind ip seconds at".split()
    random = Random(3)
    write_csv(DATA / "events/part-1.csv", columns, events(random, 0))
    write_csv(DATA / "events/part-2.csv", columns, events(random, EVENTS // 2))


if __name__ == "__main__":
    main()
