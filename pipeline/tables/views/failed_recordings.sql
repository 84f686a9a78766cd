-- Recordings that someone should look at: not counted, or not heard in full. Latest nights first.
SELECT night, site, recording, outcome, error, duration_s, heard_s, run_id
FROM `{dataset}.counts`
WHERE outcome IN ('failed', 'truncated')
ORDER BY night DESC, recording
