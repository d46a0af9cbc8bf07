-- SPDX-License-Identifier: Apache-2.0
DROP TABLE IF EXISTS orders;
DROP TABLE IF EXISTS customers;
BEGIN;
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, region INTEGER);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER, amount INTEGER, note TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
INSERT INTO customers SELECT i, printf('customer %05d', i * 7919 % 10007), i % 7 FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000)
INSERT INTO orders SELECT i, i * 7477 % 200 + 1, i * 3571 % 10000, 'note ' || (i * 31 % 977) FROM n;
CREATE INDEX orders_customer ON orders (customer);
COMMIT;
SELECT region, count(*), sum(amount), max(note) FROM orders JOIN customers ON customers.id = customer
GROUP BY region ORDER BY region;
SELECT name, (SELECT sum(amount) FROM orders WHERE customer = customers.id) AS total
FROM customers ORDER BY total DESC, name LIMIT 5;
SELECT count(*) FROM orders WHERE note LIKE '%7%' AND amount > 5000;
UPDATE orders SET amount = amount + 1 WHERE customer % 3 = 0;
DELETE FROM orders WHERE amount < 500;
SELECT count(*), sum(amount) FROM orders;
