-- One line per cell of the design. `people` have given `n` answers; those of the same person are not independent.
SELECT reason, increase,
       count(*) AS asked,
       count(fair) AS n,
       count(DISTINCT row_id) FILTER (fair IS NOT NULL) AS people,
       round(avg(fair), 3) AS fair_mean,
       round(stddev_samp(fair), 2) AS fair_sd,
       round(avg(would_buy::INT), 3) AS would_buy
FROM results
GROUP BY reason, increase
ORDER BY reason, increase;
