-- How well the model agrees with the people: every code against all the others, then all codes together.
-- n: answers that both have coded; by_hand, by_model: how many of them got this code; agreed: from both.
WITH coded AS (
    SELECT gold, answered.code, count(*) OVER () AS n
    FROM results AS answered
    WHERE outcome = 'answered' AND gold <> ''
), counted AS (
    SELECT each.code, any_value(n) AS n,
           count(*) FILTER (gold = each.code) AS by_hand,
           count(*) FILTER (coded.code = each.code) AS by_model,
           count(*) FILTER (gold = each.code AND coded.code = each.code) AS agreed
    FROM coded, (SELECT gold AS code FROM coded UNION SELECT code FROM coded) AS each
    GROUP BY each.code
), rated AS (
    SELECT code, n, by_hand, by_model, agreed,
           (n - by_hand - by_model + 2 * agreed) / n AS accuracy,
           (by_hand * by_model + (n - by_hand) * (n - by_model)) / (n * n) AS by_chance
    FROM counted
    UNION ALL
    SELECT 'all codes', any_value(n), sum(by_hand), sum(by_model), sum(agreed),
           sum(agreed) / any_value(n), sum(by_hand * by_model) / any_value(n * n)
    FROM counted
    HAVING count(*) > 0
)
SELECT code, n, by_hand::BIGINT AS by_hand, by_model::BIGINT AS by_model, agreed::BIGINT AS agreed,
       round(accuracy, 2) AS accuracy,
       round((accuracy - by_chance) / nullif(1 - by_chance, 0), 2) AS kappa
FROM rated
ORDER BY code = 'all codes', code;
