-- Calls per recorded hour, by site and hour of the day on the site's clock.
-- A recording counts for every clock hour that it touches, with the seconds it was heard in it.
-- Recordings without a start time are left out: their hour is not known.
WITH heard AS (
  SELECT
    night,
    run_id,
    recording,
    site,
    recorded_local AS start_at,
    DATETIME_ADD(recorded_local, INTERVAL CAST(ROUND(heard_s) AS INT64) SECOND) AS end_at
  FROM `{dataset}.counts`
  WHERE recorded_local IS NOT NULL AND heard_s > 0
),
hours AS (
  SELECT
    site,
    DATETIME_ADD(DATETIME_TRUNC(start_at, HOUR), INTERVAL step HOUR) AS hour_at,
    start_at,
    end_at
  FROM heard, UNNEST(
    GENERATE_ARRAY(0, DATETIME_DIFF(DATETIME_SUB(end_at, INTERVAL 1 SECOND), start_at, HOUR))
  ) AS step
),
effort AS (
  SELECT
    site,
    EXTRACT(HOUR FROM hour_at) AS hour_of_day,
    SUM(
      DATETIME_DIFF(
        LEAST(end_at, DATETIME_ADD(hour_at, INTERVAL 1 HOUR)), GREATEST(start_at, hour_at), SECOND
      )
    ) / 3600 AS recorded_hours
  FROM hours
  GROUP BY site, hour_of_day
),
heard_calls AS (
  SELECT
    heard.site AS site,
    EXTRACT(
      HOUR FROM DATETIME_ADD(heard.start_at, INTERVAL CAST(FLOOR(c.start_s) AS INT64) SECOND)
    ) AS hour_of_day,
    COUNT(*) AS calls
  FROM `{dataset}.calls` AS c
  JOIN heard
    ON c.night = heard.night AND c.run_id = heard.run_id AND c.recording = heard.recording
  GROUP BY site, hour_of_day
)
SELECT
  effort.site AS site,
  effort.hour_of_day AS hour_of_day,
  effort.recorded_hours AS recorded_hours,
  COALESCE(heard_calls.calls, 0) AS calls,
  COALESCE(heard_calls.calls, 0) / NULLIF(effort.recorded_hours, 0) AS calls_per_recorded_hour
FROM effort
LEFT JOIN heard_calls
  ON COALESCE(effort.site, '') = COALESCE(heard_calls.site, '')
  AND effort.hour_of_day = heard_calls.hour_of_day
