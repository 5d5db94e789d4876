import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from beam_llmdag import Dag, GraphError, LLMDag
from beam_llmdag.beam.workers import worker_processes


@pytest.mark.parametrize(
    ("options", "workers"),
    [
        ([], 1),
        (["--direct_num_workers=3"], 1),
        (["--direct_num_workers=3", "--direct_running_mode=multi_processing"], 3),
        (["--runner=FlinkRunner", "--parallelism=8"], 8),
        (["--runner=FlinkRunner"], 1),
        (["--runner=DataflowRunner", "--max_num_workers=20", "--num_workers=5"], 20),
        (["--runner=DataflowRunner", "--num_workers=5"], 5),
    ],
)
def test_the_number_of_workers_comes_from_the_options(options, workers):
    assert worker_processes(PipelineOptions(options)) == workers


def test_a_number_of_workers_that_makes_no_sense_is_refused():
    dag = Dag("d", model="openai:gpt-5-mini")
    dag.dimension(output=str)(prompt)
    with pytest.raises(GraphError, match="workers must be at least 1, not 0"):
        LLMDag(dag, workers=0)


def prompt(item):
    return item.content
