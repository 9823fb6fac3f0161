\echo
\echo 'Train: 569 tumours, 30 measures each, 15 seconds. The NOTICEs tell how far it is.'
\echo
CREATE OR REPLACE MODEL tumour PREDICT diagnosis FROM breast_cancer WITH (time_limit = '15 s');

\echo
\echo 'The leaderboard: what the search tried, the best first.'
\echo
SELECT trial, estimator, round(score::numeric, 4) AS score, round(fit_time_s::numeric, 2) AS fit_time_s
  FROM sqlml.trials
 WHERE model = 'tumour'
 ORDER BY score DESC NULLS LAST LIMIT 5;

\echo
\echo 'Predict: any row of the right columns will do; here ten of the table itself.'
\echo
SELECT mean_radius, mean_texture, diagnosis, predict_tumour(t) AS prediction,
       round(sqlml.predict_proba('tumour', t, 'malignant')::numeric, 4) AS p_malignant
  FROM breast_cancer AS t
 ORDER BY mean_texture LIMIT 10;

\echo
\echo 'The models, with scores from rows that they did not see, and the baseline beside.'
\echo
SHOW MODELS;
