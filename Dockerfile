# What Dataflow workers run, and what launches the job as a flex template. Build and publish:
#   docker build --build-arg VERSION=VERSION \
#       -t REGION-docker.pkg.dev/PROJECT/REPOSITORY/capuchinbird:VERSION .
#   docker push REGION-docker.pkg.dev/PROJECT/REPOSITORY/capuchinbird:VERSION
FROM gcr.io/dataflow-templates-base/python311-template-launcher-base:20240812-rc01 AS launcher

FROM apache/beam_python3.11_sdk:2.77.0
COPY --from=launcher /opt/google/dataflow/python_template_launcher \
    /opt/google/dataflow/python_template_launcher

WORKDIR /opt/capuchinbird
# The pinned list first: it changes seldom, and its layer is kept. No report is made here and nothing
# trained, so it is the list without what only these need.
COPY requirements-worker.txt ./
RUN pip install --no-cache-dir --no-deps --require-hashes -r requirements-worker.txt
COPY setup.py pyproject.toml README.md LICENSE ./
COPY model model
COPY pipeline pipeline
# Git's history, which names the version elsewhere, is not here.
ARG VERSION
RUN SETUPTOOLS_SCM_PRETEND_VERSION=$VERSION pip install --no-cache-dir --no-deps .

# For the flex template: the file it runs, and the image that its workers get.
ENV FLEX_TEMPLATE_PYTHON_PY_FILE=/opt/capuchinbird/pipeline/__main__.py

# Without TensorFlow's search for graphics cards at each start, and without a thread of NumPy for each
# core, which would spin and find nothing to do.
ENV CUDA_VISIBLE_DEVICES=-1 TF_CPP_MIN_LOG_LEVEL=2 OPENBLAS_NUM_THREADS=1
